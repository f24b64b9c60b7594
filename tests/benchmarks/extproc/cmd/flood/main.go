// flood is many clients at once: each asks for one streamed chat completion and wants it to the
// byte, as simpool gives it. JSON on stdout.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"eppbench/internal/answer"
)

var (
	url     = flag.String("url", "", "of the gateway, without a path")
	n       = flag.Int("n", 100, "clients, one request each")
	tokens  = flag.Int("tokens", 100, "events of an answer, besides [DONE]")
	gapMS   = flag.Float64("gap-ms", 10, "milliseconds between them")
	ramp    = flag.Float64("ramp", 0, "seconds over which the clients start; 0: all at once")
	perConn = flag.Int("per-conn", 0, "clients that share an HTTP/2 connection; 0: HTTP/1.1, one connection each")
	model   = flag.String("model", "sim", "model name in the body")
	chars   = flag.Int("chars", 300, "characters of a prompt; no two are alike")
	seconds = flag.Float64("seconds", 300, "how long all of it may take")
)

func main() {
	flag.Parse()
	if *url == "" || *n < 1 || *tokens < 1 || *perConn < 0 || flag.NArg() > 0 {
		log.Fatal("-url is needed, -n and -tokens must be at least 1, and there are no arguments")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(*seconds*float64(time.Second)))
	defer cancel()
	f := &flood{
		want:  answer.Whole(*model, *tokens),
		ramp:  time.Duration(*ramp * float64(time.Second)),
		extra: map[string]string{"x-sim-ms": fmt.Sprint(*gapMS * float64(*tokens))},
	}
	begin := time.Now()
	t := f.run(ctx, *n)
	b, err := json.Marshal(t.report(time.Since(begin)))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintln(os.Stdout, string(b))
}
