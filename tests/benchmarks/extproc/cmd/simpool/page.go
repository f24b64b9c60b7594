package main

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const mostFiltered = 64 // filtered forms remembered; more are made anew each time

var gauge = regexp.MustCompile(`(?m)^vllm:(num_requests_running|num_requests_waiting|kv_cache_usage_perc)\{[^}]*\} (.*)$`)

// template is a metrics page cut at its live gauges.
type template struct {
	parts [][]byte
	names []string // of the gauges between the parts
}

func cut(page []byte) template {
	var t template
	last := 0
	for _, m := range gauge.FindAllSubmatchIndex(page, -1) {
		t.parts = append(t.parts, page[last:m[4]])
		t.names = append(t.names, string(page[m[2]:m[3]]))
		last = m[5]
	}
	t.parts = append(t.parts, page[last:])
	return t
}

// render is the page with the gauges of one server.
func (t template) render(s *server) []byte {
	running, waiting, kv := s.gauges()
	var b bytes.Buffer
	for i, p := range t.parts {
		b.Write(p)
		if i == len(t.names) {
			break
		}
		switch t.names[i] {
		case "num_requests_running":
			fmt.Fprintf(&b, "%d.0", running)
		case "num_requests_waiting":
			fmt.Fprintf(&b, "%d.0", waiting)
		default:
			b.WriteString(strconv.FormatFloat(kv, 'g', 6, 64))
		}
	}
	return b.Bytes()
}

// pages are a captured page and what queries make of it.
type pages struct {
	raw      []byte
	full     template
	mu       sync.Mutex
	filtered map[string]template
}

func newPages(raw []byte) *pages {
	return &pages{raw: raw, full: cut(raw), filtered: map[string]template{}}
}

// answer is the template for a path and its name[] values. vLLM filters on the slash path only:
// the bare one is served by other code, which does not know the query.
func (p *pages) answer(path string, names []string) template {
	if path != "/metrics/" || len(names) == 0 {
		return p.full
	}
	names = slices.Clone(names)
	slices.Sort(names)
	key := strings.Join(names, "\n")
	p.mu.Lock()
	defer p.mu.Unlock()
	t, ok := p.filtered[key]
	if !ok {
		t = cut(filter(p.raw, names))
		if len(p.filtered) < mostFiltered {
			p.filtered[key] = t
		}
	}
	return t
}

// filter keeps the samples with these names, and HELP and TYPE of the families that have any left,
// as prometheus_client does for name[].
func filter(page []byte, names []string) []byte {
	var out, head []byte
	for line := range bytes.Lines(page) {
		switch {
		case bytes.HasPrefix(line, []byte("# HELP ")):
			head = slices.Clone(line)
		case line[0] == '#':
			head = append(head, line...)
		default:
			end := bytes.IndexAny(line, "{ ")
			if end < 0 || !slices.Contains(names, string(line[:end])) {
				continue
			}
			out = append(append(out, head...), line...)
			head = nil
		}
	}
	return out
}
