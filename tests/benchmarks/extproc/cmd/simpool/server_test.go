package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"eppbench/internal/answer"
)

// serving is one server, and its address.
func serving(t *testing.T, hold bool) (*servers, string) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := newServers(newPages(captured(t)), hold)
	p.all = []*server{{}}
	go p.accept(l, p.all[0])
	return p, l.Addr().String()
}

func post(t *testing.T, address, pick string) *http.Response {
	t.Helper()
	rq, err := http.NewRequest(http.MethodPost, "http://"+address+"/v1/chat/completions",
		strings.NewReader(`{"model": "m", "stream": true, "max_tokens": 3}`))
	if err != nil {
		t.Fatal(err)
	}
	rq.Header.Set("x-sim-ms", "3")
	if pick != "" {
		rq.Header.Set(destination, pick)
	}
	rs, err := http.DefaultClient.Do(rq)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rs.Body.Close() })
	return rs
}

func TestAHeldAnswerGoesOnAfterTheRelease(t *testing.T) {
	p, address := serving(t, true)
	rd := bufio.NewReader(post(t, address, address).Body)
	first := answer.Event("m", 0)
	got := make([]byte, len(first))
	if _, err := io.ReadFull(rd, got); err != nil || string(got) != first {
		t.Fatalf("%q, %v", got, err)
	}
	for p.held.Load() != 1 {
		time.Sleep(time.Millisecond)
	}
	rs, err := http.Get("http://" + address + "/sim/release")
	if err != nil {
		t.Fatal(err)
	}
	rs.Body.Close()
	rest, err := io.ReadAll(rd)
	if err != nil || first+string(rest) != string(answer.Whole("m", 3)) {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestCountsWhatDidNotComeAsPicked(t *testing.T) {
	p, address := serving(t, false)
	for _, pick := range []string{address, address + ",127.0.0.1:1", "127.0.0.1:1," + address, ""} {
		if _, err := io.Copy(io.Discard, post(t, address, pick).Body); err != nil {
			t.Fatal(err)
		}
	}
	var got struct{ Posts, Unpicked, Elsewhere, Held int }
	if err := json.Unmarshal(p.stats(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Posts != 4 || got.Unpicked != 1 || got.Elsewhere != 1 || got.Held != 0 {
		t.Errorf("%+v", got)
	}
}
