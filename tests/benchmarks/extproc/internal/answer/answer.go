// Package answer is the streamed chat completion that the simulated servers give and that their
// clients want to the byte.
package answer

import (
	"fmt"
	"strings"
)

// Done is the last event.
const Done = "data: [DONE]\n\n"

// Event is the i-th token of an answer.
func Event(model string, i int) string {
	return fmt.Sprintf("data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1795185986,\"model\":%q,\"choices\":[{\"index\":0,\"delta\":{\"content\":\" t%d\"},\"finish_reason\":null}]}\n\n", model, i)
}

// Whole is all of an answer.
func Whole(model string, tokens int) []byte {
	var b strings.Builder
	for i := range tokens {
		b.WriteString(Event(model, i))
	}
	b.WriteString(Done)
	return []byte(b.String())
}
