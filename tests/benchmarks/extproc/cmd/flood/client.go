package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// flood is what all clients share.
type flood struct {
	want  []byte
	ramp  time.Duration
	extra map[string]string
}

// client speaks HTTP/1.1 over connections of its own, or HTTP/2 over one.
func client(http2 bool) *http.Client {
	t := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 1}
	if http2 {
		t.Protocols = new(http.Protocols)
		t.Protocols.SetUnencryptedHTTP2(true)
	}
	return &http.Client{Transport: t}
}

func (f *flood) run(ctx context.Context, clients int) *tally {
	var wg sync.WaitGroup
	t := newTally()
	shared := client(*perConn > 0)
	begin := time.Now()
	for i := range clients {
		if *perConn > 0 && i%*perConn == 0 {
			shared = client(true)
		}
		c := shared
		time.Sleep(time.Until(begin.Add(f.ramp * time.Duration(i) / time.Duration(clients))))
		wg.Go(func() { t.add(f.one(ctx, c, i)) })
	}
	wg.Wait()
	return t
}

// outcome of one request.
type outcome struct {
	err            error
	headers, total time.Duration // to the headers of the answer, to its end
}

func (f *flood) one(ctx context.Context, c *http.Client, i int) (o outcome) {
	begin := time.Now()
	o.err = f.ask(ctx, c, body(i), func() { o.headers = time.Since(begin) })
	o.total = time.Since(begin)
	return o
}

func body(i int) []byte {
	prompt := strings.Repeat(fmt.Sprintf("%06d ", i), 1+*chars/7)[:*chars]
	b, err := json.Marshal(map[string]any{"model": *model, "stream": true, "max_tokens": *tokens,
		"messages": []map[string]string{{"role": "user", "content": prompt}}})
	if err != nil {
		panic(err)
	}
	return b
}

func (f *flood) ask(ctx context.Context, c *http.Client, body []byte, begun func()) error {
	rq, err := http.NewRequestWithContext(ctx, http.MethodPost, *url+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return err
	}
	rq.Header.Set("content-type", "application/json")
	for k, v := range f.extra {
		rq.Header.Set(k, v)
	}
	rs, err := c.Do(rq)
	if err != nil {
		return err
	}
	defer rs.Body.Close()
	begun()
	if rs.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(rs.Body, 200))
		return fmt.Errorf("status %d: %s", rs.StatusCode, text)
	}
	return same(rs.Body, f.want)
}

// same reads all of r, which must be exactly want.
func same(r io.Reader, want []byte) error {
	buffer := make([]byte, 4096)
	at := 0
	for {
		n, err := r.Read(buffer)
		if n > len(want)-at || !bytes.Equal(buffer[:n], want[at:at+n]) {
			return errors.New("the answer differs")
		}
		at += n
		switch {
		case err == io.EOF && at == len(want):
			return nil
		case err == io.EOF:
			return errors.New("the answer ends early")
		case err != nil:
			return fmt.Errorf("the answer breaks off: %w", err)
		}
	}
}
