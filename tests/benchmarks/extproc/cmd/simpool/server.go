package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"eppbench/internal/answer"
)

const destination = "x-gateway-destination-endpoint"

// servers is all of them, with what they share.
type servers struct {
	pages          *pages
	all            []*server
	scrapes, posts atomic.Int64
	unpicked       atomic.Int64 // posts that no picker sent here
	elsewhere      atomic.Int64 // posts whose first pick is another server
	held           atomic.Int64 // answers that have begun and wait for the release
	released       chan struct{}
	release        func()
}

func newServers(pages *pages, hold bool) *servers {
	p := &servers{pages: pages, released: make(chan struct{})}
	p.release = sync.OnceFunc(func() { close(p.released) })
	if !hold {
		p.release()
	}
	return p
}

func (p *servers) awaitRelease() {
	p.held.Add(1)
	defer p.held.Add(-1)
	<-p.released
}

// count compares where a request came with where its picker sent it.
func (p *servers) count(r *http.Request, here string) {
	p.posts.Add(1)
	first, _, _ := strings.Cut(r.Header.Get(destination), ",")
	switch strings.TrimSpace(first) {
	case here:
	case "":
		p.unpicked.Add(1)
	default:
		p.elsewhere.Add(1)
	}
}

// server is one model server: running places, and a queue for them.
type server struct {
	id      int
	mu      sync.Mutex
	running int
	queue   []chan struct{}
	peakQ   int
	served  int64
}

func (s *server) enter() {
	s.mu.Lock()
	if s.running < *slots {
		s.running++
		s.mu.Unlock()
		return
	}
	c := make(chan struct{})
	s.queue = append(s.queue, c)
	s.peakQ = max(s.peakQ, len(s.queue))
	s.mu.Unlock()
	<-c
}

func (s *server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.served++
	if len(s.queue) > 0 {
		close(s.queue[0])
		s.queue = s.queue[1:]
		return
	}
	s.running--
}

func (s *server) gauges() (running, waiting int, kv float64) {
	s.mu.Lock()
	running, waiting = s.running, len(s.queue)
	s.mu.Unlock()
	kv = float64(running) * *kvPerReq
	if *jitter && running == 0 {
		tick := int(time.Now().UnixMilli()/500) + s.id*7
		kv = 0.05 + float64(tick%40)/100
	}
	return running, waiting, min(kv, 1)
}

func (p *servers) accept(l net.Listener, s *server) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go p.serve(c, s)
	}
}

func (p *servers) serve(c net.Conn, s *server) {
	defer c.Close()
	rd := bufio.NewReaderSize(c, 4096)
	for {
		r, err := http.ReadRequest(rd)
		if err != nil {
			return
		}
		switch {
		case r.Method == http.MethodGet && (r.URL.Path == "/metrics" || r.URL.Path == "/metrics/"):
			p.scrapes.Add(1)
			page := p.pages.answer(r.URL.Path, r.URL.Query()["name[]"]).render(s)
			err = reply(c, "200 OK", "text/plain; version=0.0.4; charset=utf-8", page)
		case r.Method == http.MethodGet && r.URL.Path == "/sim/stats":
			err = reply(c, "200 OK", "application/json", p.stats())
		case r.Method == http.MethodGet && r.URL.Path == "/sim/release":
			p.release()
			err = reply(c, "200 OK", "text/plain", nil)
		case r.Method == http.MethodPost:
			p.count(r, c.LocalAddr().String())
			err = p.chat(c, r, s)
		default:
			if _, err = io.Copy(io.Discard, r.Body); err == nil {
				err = reply(c, "404 Not Found", "text/plain", nil)
			}
		}
		if err != nil || r.Close {
			return
		}
	}
}

func reply(c net.Conn, status, contentType string, body []byte) error {
	head := fmt.Appendf(make([]byte, 0, 200+len(body)), "HTTP/1.1 %s\r\ndate: %s\r\nserver: uvicorn\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n",
		status, time.Now().UTC().Format(http.TimeFormat), contentType, len(body))
	_, err := c.Write(append(head, body...))
	return err
}

// stats of all servers. Reading resets the peaks.
func (p *servers) stats() []byte {
	type row struct {
		Served  int64 `json:"served"`
		PeakQ   int   `json:"peak_queue"`
		Running int   `json:"running"`
		Waiting int   `json:"waiting"`
	}
	rows := make([]row, len(p.all))
	for i, s := range p.all {
		s.mu.Lock()
		rows[i] = row{s.served, s.peakQ, s.running, len(s.queue)}
		s.peakQ = 0
		s.mu.Unlock()
	}
	b, err := json.Marshal(map[string]any{"scrapes": p.scrapes.Load(), "posts": p.posts.Load(), "unpicked": p.unpicked.Load(),
		"elsewhere": p.elsewhere.Load(), "held": p.held.Load(), "servers": rows})
	if err != nil {
		panic(err)
	}
	return b
}

// chat answers a completion, streamed or not, after its service time in a running place.
func (p *servers) chat(c net.Conn, r *http.Request, s *server) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	var q struct {
		Model     string `json:"model"`
		Stream    bool   `json:"stream"`
		MaxTokens int    `json:"max_tokens"`
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return reply(c, "400 Bad Request", "text/plain", []byte(err.Error()))
	}
	if q.MaxTokens <= 0 {
		q.MaxTokens = 16
	}
	d := time.Duration(float64(q.MaxTokens) * *tpot * float64(time.Millisecond))
	if v, err := strconv.ParseFloat(r.Header.Get("x-sim-ms"), 64); err == nil {
		d = time.Duration(v * float64(time.Millisecond))
	}
	s.enter()
	defer s.leave()
	if q.Stream {
		return p.stream(c, q.Model, q.MaxTokens, d)
	}
	time.Sleep(d)
	return reply(c, "200 OK", "application/json", fmt.Appendf(nil, `{"id":"chatcmpl-1","object":"chat.completion","created":1795185986,"model":%q,"choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"length"}],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}`,
		q.Model, len(body)/4, q.MaxTokens, len(body)/4+q.MaxTokens))
}

func (p *servers) stream(c net.Conn, model string, tokens int, d time.Duration) error {
	if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"); err != nil {
		return err
	}
	gap := d / time.Duration(tokens)
	for i := range tokens {
		time.Sleep(gap)
		if i == 1 {
			p.awaitRelease()
			time.Sleep(rand.N(gap + 1)) // answers released together must not go on in step
		}
		e := answer.Event(model, i)
		if _, err := fmt.Fprintf(c, "%x\r\n%s\r\n", len(e), e); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(c, "%x\r\n%s\r\n0\r\n\r\n", len(answer.Done), answer.Done)
	return err
}
