package main

import (
	"math"
	"regexp"
	"slices"
	"sync"
	"time"
)

// ports make one kind of error many.
var ports = regexp.MustCompile(`:\d+->`)

// tally counts what became of the requests.
type tally struct {
	mu             sync.Mutex
	ok             int
	errs           map[string]int
	headers, total []float64 // ms, of the whole answers
}

func newTally() *tally { return &tally{errs: map[string]int{}} }

func (t *tally) add(o outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o.err != nil {
		t.errs[ports.ReplaceAllString(o.err.Error(), ":*->")]++
		return
	}
	t.ok++
	t.headers = append(t.headers, ms(o.headers))
	t.total = append(t.total, ms(o.total))
}

func (t *tally) report(wall time.Duration) map[string]any {
	errs := 0
	for _, n := range t.errs {
		errs += n
	}
	return map[string]any{"ok": t.ok, "errors": errs, "error_kinds": t.errs, "seconds": wall.Seconds(),
		"headers_ms": quantiles(t.headers), "total_ms": quantiles(t.total)}
}

func ms(d time.Duration) float64 { return math.Round(d.Seconds()*1e5) / 100 }

func quantiles(x []float64) map[string]float64 {
	if len(x) == 0 {
		return nil
	}
	slices.Sort(x)
	at := func(q float64) float64 { return x[min(len(x)-1, int(q*float64(len(x))))] }
	return map[string]float64{"p50": at(.5), "p99": at(.99), "max": x[len(x)-1]}
}
