package main

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filter "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	pb "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"
)

const member = "127.1.0.1:18000"

// script is a picker that plays one stream.
type script func(s pb.ExternalProcessor_ProcessServer) error

type scripted struct {
	pb.UnimplementedExternalProcessorServer
	play script
}

func (p scripted) Process(s pb.ExternalProcessor_ProcessServer) error { return p.play(s) }

// against plays one request against a scripted picker.
func against(t *testing.T, mode, resp string, play script) result {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	pb.RegisterExternalProcessorServer(g, scripted{play: play})
	go g.Serve(l)
	defer g.Stop()
	c, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w := wire{client: c, pool: map[string]bool{member: true}, metadata: metadata.Pairs("x-epp-gateway", "lists"),
		attributes: true, echo: "exact", respMode: resp, timeout: 10 * time.Second}
	p := newPlan(mode, []byte(`{"model":"tiny"}`), 8, [][]byte{[]byte("data: 1\n\n"), []byte("data: 2\n\n")}, true)
	return w.one(p, "/v1/chat/completions", nil, 0, nil)
}

func onHeaders(c *pb.CommonResponse) *pb.ProcessingResponse {
	return &pb.ProcessingResponse{Response: &pb.ProcessingResponse_RequestHeaders{RequestHeaders: &pb.HeadersResponse{Response: c}}}
}

func onBody(c *pb.CommonResponse) *pb.ProcessingResponse {
	return &pb.ProcessingResponse{Response: &pb.ProcessingResponse_RequestBody{RequestBody: &pb.BodyResponse{Response: c}}}
}

func onResponseHeaders() *pb.ProcessingResponse {
	return &pb.ProcessingResponse{Response: &pb.ProcessingResponse_ResponseHeaders{ResponseHeaders: &pb.HeadersResponse{}}}
}

func onResponseBody(b []byte, eos bool) *pb.ProcessingResponse {
	return &pb.ProcessingResponse{Response: &pb.ProcessingResponse_ResponseBody{ResponseBody: &pb.BodyResponse{Response: piece(b, eos)}}}
}

func picked(to string) *pb.CommonResponse {
	return &pb.CommonResponse{HeaderMutation: &pb.HeaderMutation{SetHeaders: []*core.HeaderValueOption{{Header: header(destination, to)}}}}
}

func piece(b []byte, eos bool) *pb.CommonResponse {
	return &pb.CommonResponse{BodyMutation: &pb.BodyMutation{Mutation: &pb.BodyMutation_StreamedResponse{
		StreamedResponse: &pb.StreamedBodyResponse{Body: b, EndOfStream: eos}}}}
}

func moreTime() *pb.ProcessingResponse {
	return &pb.ProcessingResponse{OverrideMessageTimeout: durationpb.New(time.Second)}
}

// turns answers each message of the gateway with the next list of answers, then wants its half closed.
func turns(answers ...[]*pb.ProcessingResponse) script {
	return func(s pb.ExternalProcessor_ProcessServer) error {
		for _, turn := range answers {
			if _, err := s.Recv(); err != nil {
				return err
			}
			for _, a := range turn {
				if err := s.Send(a); err != nil {
					return err
				}
			}
		}
		if r, err := s.Recv(); err != io.EOF {
			return fmt.Errorf("instead of the half-close: %v, %v", r, err)
		}
		return nil
	}
}

type answers = []*pb.ProcessingResponse

func TestLightIsPlayedAsEnvoyDoes(t *testing.T) {
	res := against(t, "buffered", "none", func(s pb.ExternalProcessor_ProcessServer) error {
		md, _ := metadata.FromIncomingContext(s.Context())
		if got := md.Get("x-epp-gateway"); len(got) != 1 || got[0] != "lists" {
			return fmt.Errorf("metadata %v", md)
		}
		r, err := s.Recv()
		if err != nil {
			return err
		}
		pc := r.GetProtocolConfig()
		if r.GetRequestHeaders() == nil || r.GetRequestHeaders().GetEndOfStream() ||
			pc.GetRequestBodyMode() != filter.ProcessingMode_BUFFERED || pc.GetResponseBodyMode() != filter.ProcessingMode_NONE {
			return fmt.Errorf("first message %v", r)
		}
		next := make(chan *pb.ProcessingRequest, 1)
		failed := make(chan error, 1)
		go func() {
			r, err := s.Recv()
			if err != nil {
				failed <- err
				return
			}
			next <- r
		}()
		select {
		case r := <-next:
			return fmt.Errorf("sent before the headers were answered: %v", r)
		case err := <-failed:
			return err
		case <-time.After(50 * time.Millisecond):
		}
		if err := s.Send(onHeaders(nil)); err != nil {
			return err
		}
		select {
		case r = <-next:
		case err := <-failed:
			return err
		}
		if b := r.GetRequestBody(); string(b.GetBody()) != `{"model":"tiny"}` || !b.GetEndOfStream() || r.ProtocolConfig != nil {
			return fmt.Errorf("second message %v", r)
		}
		if err := s.Send(moreTime()); err != nil {
			return err
		}
		if err := s.Send(onBody(picked(member + ",127.1.0.2:18000"))); err != nil {
			return err
		}
		if r, err = s.Recv(); err != nil {
			return err
		}
		served := r.GetAttributes()["envoy.filters.http.ext_proc"].GetFields()["upstream.address"].GetStringValue()
		if r.GetResponseHeaders() == nil || r.GetResponseHeaders().GetEndOfStream() || served != member {
			return fmt.Errorf("third message %v", r)
		}
		if err := s.Send(onResponseHeaders()); err != nil {
			return err
		}
		if r, err = s.Recv(); err != io.EOF {
			return fmt.Errorf("instead of the half-close: %v, %v", r, err)
		}
		return nil
	})
	if res.err != "" || res.dest != member || res.status != 0 {
		t.Errorf("%+v", res)
	}
}

func TestBufferedAnswersAreChecked(t *testing.T) {
	meta := onBody(picked(member))
	for _, c := range []struct {
		name, want string
		play       script
	}{
		{"pick in time", "", turns(answers{onHeaders(nil)}, answers{onBody(picked(member))}, answers{onResponseHeaders()})},
		{"pick with the headers", "", turns(answers{onHeaders(picked(member))}, answers{onBody(nil)}, answers{onResponseHeaders()})},
		{"body answered first", "request headers: unexpected", turns(answers{onBody(picked(member))})},
		{"no pick", "no destination", turns(answers{onHeaders(nil)}, answers{onBody(nil)})},
		{"stranger picked", "outside the pool", turns(answers{onHeaders(nil)}, answers{onBody(picked("127.9.9.9:1"))})},
		{"streamed mutation", "in BUFFERED mode", turns(answers{onHeaders(nil)}, answers{onBody(piece([]byte("x"), true))})},
		{"asks for time twice", "second request for more time", turns(answers{onHeaders(nil)}, answers{moreTime(), moreTime(), meta})},
		{"silent end", "answer to the response headers", func(s pb.ExternalProcessor_ProcessServer) error {
			s.Recv()
			s.Send(onHeaders(nil))
			s.Recv()
			s.Send(onBody(picked(member)))
			return nil
		}},
		{"one answer too many", "extra message", turns(answers{onHeaders(nil)}, answers{onBody(picked(member))}, answers{onResponseHeaders(), onResponseHeaders()})},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := against(t, "buffered", "none", c.play)
			if c.want == "" && res.err != "" || !strings.Contains(res.err, c.want) {
				t.Errorf("error %q, want %q", res.err, c.want)
			}
		})
	}
}

func TestFullDuplexAnswersAreChecked(t *testing.T) {
	body := []byte(`{"model":"tiny"}`)
	echo := answers{onResponseBody([]byte("data: 1\n\ndata"), false), onResponseBody([]byte(": 2\n\n"), true)}
	for _, c := range []struct {
		name, want string
		play       script
	}{
		{"echoed", "", turns(nil, nil, answers{onHeaders(picked(member)), onBody(piece(body, true))}, nil, answers{onResponseHeaders()}, echo)},
		{"echoed in other pieces", "", turns(nil, nil, answers{onHeaders(picked(member)), onBody(piece(body[:3], false)), onBody(piece(body[3:], true))},
			answers{onResponseHeaders()}, nil, echo)},
		{"body before headers", "request headers: unexpected", turns(nil, nil, answers{onBody(piece(body, true))})},
		{"request cut short", "request body: echo incomplete", turns(nil, nil, answers{onHeaders(picked(member)), onBody(piece(body[:5], true))})},
		{"request changed", "request body: echo differs", turns(nil, nil, answers{onHeaders(picked(member)), onBody(piece([]byte("{}"), true))})},
		{"response changed", "response body: echo differs", turns(nil, nil, answers{onHeaders(picked(member)), onBody(piece(body, true))},
			answers{onResponseHeaders()}, answers{onResponseBody([]byte("data: 2\n\n"), false)}, nil)},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := against(t, "fd", "fd", c.play)
			if c.want == "" && res.err != "" || !strings.Contains(res.err, c.want) {
				t.Errorf("error %q, want %q", res.err, c.want)
			}
		})
	}
}

func TestRefusalIsNoError(t *testing.T) {
	refuse := &pb.ProcessingResponse{Response: &pb.ProcessingResponse_ImmediateResponse{ImmediateResponse: &pb.ImmediateResponse{
		Status: &typev3.HttpStatus{Code: 429}, Body: []byte("full"),
		Headers: &pb.HeaderMutation{SetHeaders: []*core.HeaderValueOption{{Header: header("retry-after", "2")}}}}}}
	for _, mode := range []string{"buffered", "fd"} {
		turn := []answers{{refuse}}
		if mode == "fd" {
			turn = []answers{nil, nil, {refuse}}
		}
		res := against(t, mode, "none", turns(turn...))
		if res.err != "" || res.status != 429 || res.refusalBy != "full" || res.refusal["retry-after"] != "2" {
			t.Errorf("%s: %+v", mode, res)
		}
	}
}

func TestErrorOfTheServerIsTold(t *testing.T) {
	res := against(t, "fd", "fd", func(pb.ExternalProcessor_ProcessServer) error { return fmt.Errorf("broken inside") })
	if !strings.Contains(res.err, "broken inside") {
		t.Errorf("error %q", res.err)
	}
}
