package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load makes requests and counts what becomes of them.
type load struct {
	wires   []*wire
	classes []class
	plans   []*plan
	tallies []*tally
	httpc   *http.Client
	gap     time.Duration
	turn    atomic.Int64
	skipped int           // open loop: not started because -max-open were running
	offered time.Duration // how long new requests were started
}

func newLoad(wires []*wire, classes []class) *load {
	l := &load{wires: wires, classes: classes, gap: time.Duration(*gapMS * float64(time.Millisecond)),
		httpc: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4000, MaxIdleConns: 20000, DisableCompression: true}}}
	ev := events(*chunks, *chars, *model)
	for _, b := range bodies(*chars, *distinct, *shared, *model, *chunks > 0, max(*chunks, 16)) {
		l.plans = append(l.plans, newPlan(*mode, b, 64<<10, ev, *chunks > 0))
	}
	for range classes {
		l.tallies = append(l.tallies, newTally())
	}
	return l
}

func (l *load) pickClass() int {
	x := rand.Float64()
	for i := range l.classes {
		if x -= l.classes[i].Share; x < 0 {
			return i
		}
	}
	return len(l.classes) - 1
}

// do plays the next request, of class k.
func (l *load) do(k int) result {
	i := int(l.turn.Add(1))
	p := l.plans[i%len(l.plans)]
	var upstream func(string) error
	if *backend {
		upstream = func(dest string) error { return l.post(dest, p.body) }
	}
	return l.wires[i%len(l.wires)].one(p, *path, l.classes[k].Headers, l.gap, upstream)
}

// post sends the request to a model server and reads the whole answer.
func (l *load) post(dest string, body []byte) error {
	rq, err := http.NewRequest(http.MethodPost, "http://"+dest+*path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	rq.Header.Set("content-type", "application/json")
	rq.Header.Set("x-sim-ms", fmt.Sprintf("%.1f", *simMS*(0.5+rand.Float64())))
	rs, err := l.httpc.Do(rq)
	if err != nil {
		return err
	}
	defer rs.Body.Close()
	if _, err = io.Copy(io.Discard, rs.Body); err == nil && rs.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", rs.StatusCode)
	}
	return err
}

// warmUp makes n requests one after the other and returns the failures. The third of a kind ends it.
func (l *load) warmUp(n int) map[string]int {
	failures := map[string]int{}
	for range n {
		r := l.do(0)
		if r.err == "" && r.status == 0 {
			continue
		}
		kind := fmt.Sprintf("%d %s %s", r.status, r.err, r.refusalBy)
		if failures[kind]++; failures[kind] >= 3 {
			break
		}
	}
	return failures
}

// open starts requests at Poisson times, whatever becomes of those before.
func (l *load) open(perSecond float64, window time.Duration) {
	var wg sync.WaitGroup
	var running atomic.Int64
	start := time.Now()
	end := start.Add(window)
	for next := start; ; {
		next = next.Add(time.Duration(rand.ExpFloat64() / perSecond * float64(time.Second)))
		if next.After(end) {
			break
		}
		time.Sleep(time.Until(next))
		if running.Load() >= int64(*maxOpen) {
			l.skipped++
			continue
		}
		running.Add(1)
		k := l.pickClass()
		wg.Go(func() {
			defer running.Add(-1)
			l.tallies[k].add(l.do(k))
		})
	}
	l.offered = time.Since(start)
	wg.Wait()
}

// closed keeps n requests in flight.
func (l *load) closed(n int, window time.Duration) {
	var wg sync.WaitGroup
	start := time.Now()
	end := start.Add(window)
	for range n {
		wg.Go(func() {
			for time.Now().Before(end) {
				k := l.pickClass()
				r := l.do(k)
				l.tallies[k].add(r)
				if r.err != "" {
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	l.offered = time.Since(start)
}

func (l *load) report(u usage, idle float64) map[string]any {
	total := newTally()
	for _, t := range l.tallies {
		total.merge(t)
	}
	out := total.report(u.wall, *nPool)
	out["label"] = *label
	out["args"] = strings.Join(os.Args[1:], " ")
	out["wall_s"] = round(u.wall, 2)
	out["offered_s"] = round(l.offered.Seconds(), 2)
	out["rps"] = round(float64(total.sent)/u.wall, 1)
	out["driver_cores"] = round(u.driver/u.wall, 3)
	if *pid != 0 {
		out["cpu_cores"] = round(u.cpu/u.wall, 3)
		out["idle_cores"] = round(idle, 4)
		if n := float64(total.sent); n > 0 {
			out["cpu_us_per_req"] = round(u.cpu*1e6/n, 1)
			out["cpu_us_per_req_net"] = round((u.cpu-idle*u.wall)*1e6/n, 1)
			out["user_us_per_req"] = round(u.user*1e6/n, 1)
			out["sys_us_per_req"] = round(u.sys*1e6/n, 1)
		}
		out["rss_mib"] = round(u.rss, 1)
		out["rss_peak_mib"] = round(u.peak, 1)
	}
	if l.skipped > 0 {
		out["skipped"] = l.skipped
	}
	if len(l.classes) > 1 {
		by := map[string]any{}
		for i, t := range l.tallies {
			by[l.classes[i].Name] = t.report(l.offered.Seconds(), *nPool)
		}
		out["classes"] = by
	}
	return out
}
