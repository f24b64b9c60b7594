package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
)

const fixture = "../../../../fixtures/vllm-0.32/metrics-plain.txt"

func captured(t *testing.T) []byte {
	t.Helper()
	raw, err := os.ReadFile(fixture)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestFilterKeepsNamedSamplesWithTheirHead(t *testing.T) {
	got := string(filter(captured(t), []string{"vllm:num_requests_running", "vllm:num_preemptions_total", "vllm:request_prompt_tokens_count"}))
	want := []string{
		"# HELP vllm:num_requests_running ", "# TYPE vllm:num_requests_running gauge", "vllm:num_requests_running{",
		"# HELP vllm:num_preemptions_total ", "# TYPE vllm:num_preemptions_total counter", "vllm:num_preemptions_total{",
		"# HELP vllm:request_prompt_tokens ", "# TYPE vllm:request_prompt_tokens histogram", "vllm:request_prompt_tokens_count{",
	}
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), got)
	}
	for i, w := range want {
		if !strings.HasPrefix(lines[i], w) {
			t.Errorf("line %d is %q, want %q...", i, lines[i], w)
		}
	}
}

func TestFilterOfUnknownNameIsEmpty(t *testing.T) {
	if got := filter(captured(t), []string{"vllm:lora_requests_info", "vllm:num_requests"}); len(got) != 0 {
		t.Errorf("got %q", got)
	}
}

// over asks a served pool over TCP, as a scraper does.
func over(t *testing.T, target string) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := newServers(newPages(captured(t)), false)
	p.all = []*server{{running: 3}}
	go p.accept(l, p.all[0])
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET "+target+" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %v", r.StatusCode, err)
	}
	return string(body)
}

func TestOnlyTheSlashPathFilters(t *testing.T) {
	query := "?name%5B%5D=vllm:num_requests_running&name%5B%5D=vllm:kv_cache_usage_perc"
	for _, c := range []struct {
		target  string
		samples int
	}{
		{"/metrics/" + query, 2},
		{"/metrics" + query, samples(string(captured(t)))},
		{"/metrics/", samples(string(captured(t)))},
		{"/metrics/?name%5B%5D=nothing", 0},
	} {
		page := over(t, c.target)
		if got := samples(page); got != c.samples {
			t.Errorf("%s: %d samples, want %d", c.target, got, c.samples)
		}
		if c.samples > 0 && !strings.Contains(page, `vllm:num_requests_running{engine="0",model_name="tiny"} 3.0`+"\n") {
			t.Errorf("%s: the live gauge is not in it", c.target)
		}
	}
}

func samples(page string) int {
	count := 0
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "#") {
			count++
		}
	}
	return count
}
