package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"eppbench/internal/answer"
)

func TestOnlyTheWholeAnswerIsTheSame(t *testing.T) {
	want := answer.Whole("m", 3)
	whole := string(want)
	for name, c := range map[string]struct {
		r  io.Reader
		ok bool
	}{
		"whole":      {strings.NewReader(whole), true},
		"in bytes":   {iotest.OneByteReader(strings.NewReader(whole)), true},
		"empty":      {strings.NewReader(""), false},
		"cut":        {strings.NewReader(whole[:len(whole)-1]), false},
		"too long":   {strings.NewReader(whole + "x"), false},
		"changed":    {strings.NewReader(strings.Replace(whole, "t1", "t2", 1)), false},
		"breaks off": {io.MultiReader(strings.NewReader(whole), iotest.ErrReader(errors.New("reset"))), false},
	} {
		err := same(c.r, want)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
