package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filter "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	pb "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// codec sends ready-made bytes as they are and decodes answers with protobuf, so
// the driver pays for encoding once per run and not once per message.
type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	if b, ok := v.([]byte); ok {
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	b, err := proto.Marshal(v.(proto.Message))
	return mem.BufferSlice{mem.SliceBuffer(b)}, err
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	return proto.Unmarshal(data.Materialize(), v.(proto.Message))
}

var _ encoding.CodecV2 = codec{}

func encode(r *pb.ProcessingRequest) []byte {
	b, err := proto.Marshal(r)
	if err != nil {
		panic(err)
	}
	return b
}

func header(k, v string) *core.HeaderValue {
	return &core.HeaderValue{Key: k, RawValue: []byte(v)}
}

// plan is one kind of request with everything already encoded.
type plan struct {
	body    []byte   // the request body as the client sent it
	chunks  [][]byte // encoded request-body messages
	mode    string
	answer  []byte   // whole response body as it must come back
	replies [][]byte // encoded response-body messages
	headers []byte   // encoded response headers
}

func cutMessages(body []byte, size int) [][]byte {
	var out [][]byte
	for at := 0; ; at += size {
		end := min(at+size, len(body))
		out = append(out, encode(&pb.ProcessingRequest{Request: &pb.ProcessingRequest_RequestBody{
			RequestBody: &pb.HttpBody{Body: body[at:end], EndOfStream: end == len(body)}}}))
		if end == len(body) {
			return out
		}
	}
}

func newPlan(mode string, body []byte, chunkSize int, events [][]byte, stream bool) *plan {
	p := &plan{body: body, mode: mode}
	if mode == "buffered" {
		chunkSize = len(body)
	}
	p.chunks = cutMessages(body, chunkSize)
	for i, e := range events {
		p.answer = append(p.answer, e...)
		p.replies = append(p.replies, encode(&pb.ProcessingRequest{Request: &pb.ProcessingRequest_ResponseBody{
			ResponseBody: &pb.HttpBody{Body: e, EndOfStream: i == len(events)-1}}}))
	}
	h := []*core.HeaderValue{header(":status", "200"), header("date", "Fri, 20 Nov 2026 14:46:25 GMT"), header("server", "uvicorn")}
	if stream {
		h = append(h, header("content-type", "text/event-stream; charset=utf-8"), header("transfer-encoding", "chunked"))
	} else {
		h = append(h, header("content-type", "application/json"), header("content-length", strconv.Itoa(len(p.answer))))
	}
	p.headers = encode(&pb.ProcessingRequest{Request: &pb.ProcessingRequest_ResponseHeaders{ResponseHeaders: &pb.HttpHeaders{
		Headers: &core.HeaderMap{Headers: h}}}})
	return p
}

func requestHeaders(mode, respMode, path string, length int, extra map[string]string) []byte {
	h := []*core.HeaderValue{
		header(":authority", "inference.example"), header(":path", path), header(":method", "POST"), header(":scheme", "http"),
		header("user-agent", "OpenAI/Python 2.8.1"), header("accept", "application/json"), header("accept-encoding", "gzip, deflate"),
		header("authorization", "Bearer sk-0123456789abcdef0123456789abcdef"), header("content-type", "application/json"),
		header("content-length", strconv.Itoa(length)), header("x-forwarded-for", "127.0.0.1"), header("x-forwarded-proto", "http"),
		header("x-request-id", fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", rand.Uint32(), rand.Uint32()&0xffff, rand.Uint32()&0xfff, rand.Uint32()&0xfff, rand.Uint64()&0xffffffffffff)),
	}
	for k, v := range extra {
		h = append(h, header(k, v))
	}
	pc := &pb.ProtocolConfiguration{RequestBodyMode: filter.ProcessingMode_FULL_DUPLEX_STREAMED, ResponseBodyMode: filter.ProcessingMode_FULL_DUPLEX_STREAMED}
	if mode == "buffered" {
		pc.RequestBodyMode = filter.ProcessingMode_BUFFERED
	}
	switch respMode {
	case "none":
		pc.ResponseBodyMode = filter.ProcessingMode_NONE
	case "streamed":
		pc.ResponseBodyMode = filter.ProcessingMode_STREAMED
	}
	return encode(&pb.ProcessingRequest{ProtocolConfig: pc, Request: &pb.ProcessingRequest_RequestHeaders{RequestHeaders: &pb.HttpHeaders{
		Headers: &core.HeaderMap{Headers: h}}}})
}

// withServed is an encoded message with the endpoint that served among its attributes. Joining two
// encodings of a message merges them.
func withServed(message []byte, endpoint string) []byte {
	text := structpb.NewStringValue
	more := encode(&pb.ProcessingRequest{Attributes: map[string]*structpb.Struct{"envoy.filters.http.ext_proc": {
		Fields: map[string]*structpb.Value{"upstream.address": text(endpoint), "response.code_details": text("via_upstream")}}}})
	return append(append(make([]byte, 0, len(message)+len(more)), message...), more...)
}
