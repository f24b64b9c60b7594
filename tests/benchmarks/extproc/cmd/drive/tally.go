package main

import (
	"fmt"
	"sort"
	"sync"
	"time"
)

// tally counts the outcomes of one class of requests.
type tally struct {
	mu                 sync.Mutex
	sent, ok, err      int
	errs               map[string]int
	refused            map[string]int
	refusalHeaders     map[string]string
	pick, total, e2eOK []float64
	refusePick         []float64
	dest               map[string]int
}

func newTally() *tally {
	return &tally{errs: map[string]int{}, refused: map[string]int{}, refusalHeaders: map[string]string{}, dest: map[string]int{}}
}

func (t *tally) add(r result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent++
	switch {
	case r.err != "":
		t.err++
		t.errs[r.err]++
	case r.status != 0:
		t.refused[fmt.Sprintf("%d %s", r.status, shorten(r.refusalBy, 140))]++
		for k, v := range r.refusal {
			t.refusalHeaders[k] = v
		}
		t.refusePick = append(t.refusePick, ms(r.pick))
	default:
		t.ok++
		t.pick = append(t.pick, ms(r.pick))
		t.total = append(t.total, ms(r.total))
		t.e2eOK = append(t.e2eOK, ms(r.pick+r.upstream))
		t.dest[r.dest]++
	}
}

// merge adds what another tally counted.
func (t *tally) merge(o *tally) {
	t.sent += o.sent
	t.ok += o.ok
	t.err += o.err
	t.pick = append(t.pick, o.pick...)
	t.total = append(t.total, o.total...)
	t.e2eOK = append(t.e2eOK, o.e2eOK...)
	t.refusePick = append(t.refusePick, o.refusePick...)
	for k, v := range o.errs {
		t.errs[k] += v
	}
	for k, v := range o.refused {
		t.refused[k] += v
	}
	for k, v := range o.refusalHeaders {
		t.refusalHeaders[k] = v
	}
	for k, v := range o.dest {
		t.dest[k] += v
	}
}

func (t *tally) report(wall float64, servers int) map[string]any {
	most := 0
	for _, n := range t.dest {
		most = max(most, n)
	}
	m := map[string]any{"sent": t.sent, "ok": t.ok, "errors": t.err, "goodput_rps": round(float64(t.ok)/wall, 2), "endpoints_used": len(t.dest), "pick_ms": quant(t.pick)}
	if t.ok > 0 {
		m["busiest_share_x"] = round(float64(most)*float64(servers)/float64(t.ok), 2)
	}
	if *backend {
		m["answer_ms"] = quant(t.e2eOK)
	} else {
		m["total_ms"] = quant(t.total)
	}
	if len(t.errs) > 0 {
		m["error_kinds"] = t.errs
	}
	if len(t.refused) > 0 {
		m["refused"] = t.refused
		m["refusal_headers"] = t.refusalHeaders
		m["refusal_ms"] = quant(t.refusePick)
	}
	return m
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func quant(x []float64) map[string]float64 {
	if len(x) == 0 {
		return nil
	}
	sort.Float64s(x)
	at := func(q float64) float64 { return round(x[min(len(x)-1, int(q*float64(len(x))))], 3) }
	return map[string]float64{"p50": at(.5), "p90": at(.9), "p99": at(.99), "max": round(x[len(x)-1], 3)}
}

func round(v float64, digits int) float64 {
	m := 1.0
	for range digits {
		m *= 10
	}
	return float64(int64(v*m+0.5)) / m
}

func shorten(s string, most int) string {
	return s[:min(len(s), most)]
}
