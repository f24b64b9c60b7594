package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	pb "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
)

var errRefused = errors.New("refused")

// bufferedRequest waits for the answer to the headers before it sends the body, and for the answer
// to the body before the request may go on.
func (c *conversation) bufferedRequest() error {
	r, err := c.answer("request headers")
	if err != nil {
		return err
	}
	if err := c.requestHeadersAnswer(r); err != nil {
		return err
	}
	if err := c.send("request body", c.plan.chunks[0]); err != nil {
		return err
	}
	if r, err = c.answer("request body"); err != nil {
		return err
	}
	if err := c.refusal(r); err != nil {
		return err
	}
	v, ok := r.Response.(*pb.ProcessingResponse_RequestBody)
	if !ok {
		return unexpected("request body", r)
	}
	common := v.RequestBody.GetResponse()
	if err := c.note(common, r); err != nil {
		return err
	}
	switch m := common.GetBodyMutation().GetMutation().(type) {
	case nil:
		return nil
	case *pb.BodyMutation_Body:
		if c.echo == "exact" && !bytes.Equal(m.Body, c.plan.body) {
			return errors.New("request body changed")
		}
		return nil
	default:
		return fmt.Errorf("request body: mutation %T in BUFFERED mode", m)
	}
}

// fullDuplexRequest sends the body at once: the gateway does not wait for the answer to the headers.
func (c *conversation) fullDuplexRequest() error {
	for _, chunk := range c.plan.chunks {
		if err := c.send("request body", chunk); err != nil {
			return err
		}
	}
	r, err := c.answer("request headers")
	if err != nil {
		return err
	}
	if err := c.requestHeadersAnswer(r); err != nil {
		return err
	}
	body := echoed{want: c.plan.body, check: c.echo}
	for done := false; !done; {
		if r, err = c.answer("request body"); err != nil {
			return err
		}
		if err := c.refusal(r); err != nil {
			return err
		}
		v, ok := r.Response.(*pb.ProcessingResponse_RequestBody)
		if !ok {
			return unexpected("request body", r)
		}
		common := v.RequestBody.GetResponse()
		if err := c.note(common, r); err != nil {
			return err
		}
		if done, err = body.piece(common.GetBodyMutation().GetStreamedResponse()); err != nil {
			return fmt.Errorf("request body: %w", err)
		}
	}
	return nil
}

func (c *conversation) requestHeadersAnswer(r *pb.ProcessingResponse) error {
	if err := c.refusal(r); err != nil {
		return err
	}
	v, ok := r.Response.(*pb.ProcessingResponse_RequestHeaders)
	if !ok {
		return unexpected("request headers", r)
	}
	return c.note(v.RequestHeaders.GetResponse(), r)
}

// refusal is errRefused if the picker answers the client itself.
func (c *conversation) refusal(r *pb.ProcessingResponse) error {
	v, ok := r.Response.(*pb.ProcessingResponse_ImmediateResponse)
	if !ok {
		return nil
	}
	c.res.status = int(v.ImmediateResponse.GetStatus().GetCode())
	c.res.refusalBy = string(v.ImmediateResponse.GetBody())
	c.res.refusal = map[string]string{}
	for _, o := range v.ImmediateResponse.GetHeaders().GetSetHeaders() {
		c.res.refusal[o.GetHeader().GetKey()] = valueOf(o)
	}
	c.res.pick = time.Since(c.begin)
	return errRefused
}

// note takes the pick from an answer, if it is there.
func (c *conversation) note(common *pb.CommonResponse, r *pb.ProcessingResponse) error {
	if common.GetStatus() != pb.CommonResponse_CONTINUE {
		return fmt.Errorf("status %s", common.GetStatus())
	}
	dest, err := destinationOf(common, r)
	if err != nil {
		return err
	}
	if dest != "" {
		c.res.dest = dest
		c.res.pick = time.Since(c.begin)
	}
	return nil
}

func valueOf(o *core.HeaderValueOption) string {
	if raw := o.GetHeader().GetRawValue(); len(raw) > 0 {
		return string(raw)
	}
	return o.GetHeader().GetValue()
}

func destinationOf(common *pb.CommonResponse, r *pb.ProcessingResponse) (string, error) {
	var fromHeader, fromMeta string
	for _, o := range common.GetHeaderMutation().GetSetHeaders() {
		if strings.EqualFold(o.GetHeader().GetKey(), destination) {
			fromHeader = valueOf(o)
		}
	}
	if s := r.GetDynamicMetadata().GetFields()["envoy.lb"].GetStructValue(); s != nil {
		fromMeta = s.GetFields()[destination].GetStringValue()
	}
	if fromHeader != "" && fromMeta != "" && fromHeader != fromMeta {
		return "", errors.New("header and metadata name different endpoints")
	}
	if fromHeader == "" {
		return fromMeta, nil
	}
	return fromHeader, nil
}

// response plays the response phase, up to the last byte of the answer.
func (c *conversation) response() error {
	headers := c.plan.headers
	if c.attributes {
		headers = withServed(headers, c.res.dest)
	}
	if err := c.send("response headers", headers); err != nil {
		return err
	}
	sent := make(chan error, 1)
	if c.respMode == "fd" { // not held back until the headers are answered
		go func() { sent <- c.sendReplies() }()
	}
	r, err := c.answer("response headers")
	if err != nil {
		return err
	}
	if _, ok := r.Response.(*pb.ProcessingResponse_ResponseHeaders); !ok {
		return unexpected("response headers", r)
	}
	switch c.respMode {
	case "none": // the gateway holds the stream open until the client has the whole answer
		time.Sleep(c.gap * time.Duration(len(c.plan.replies)-1))
		return nil
	case "streamed":
		go func() { sent <- c.sendReplies() }()
	}
	if err := c.responseBody(); err != nil {
		return err
	}
	return <-sent
}

func (c *conversation) sendReplies() error {
	begin := time.Now()
	for i, m := range c.plan.replies {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * c.gap)))
		if err := c.send("response body", m); err != nil {
			return err
		}
	}
	return nil
}

func (c *conversation) responseBody() error {
	body := echoed{want: c.plan.answer, check: c.echo}
	got := 0
	for done := false; !done; {
		r, err := c.answer("response body")
		if err != nil {
			return err
		}
		v, ok := r.Response.(*pb.ProcessingResponse_ResponseBody)
		if !ok {
			return unexpected("response body", r)
		}
		if got++; c.respMode == "streamed" {
			done = got == len(c.plan.replies)
		} else if done, err = body.piece(v.ResponseBody.GetResponse().GetBodyMutation().GetStreamedResponse()); err != nil {
			return fmt.Errorf("response body: %w", err)
		}
	}
	return nil
}
