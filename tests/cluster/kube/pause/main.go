// pause does nothing until it is told to end, and collects the orphans of its process namespace:
// the first process of a Pod, and of the machine that the node's programs run on.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for {
		// Before the first signal too: a child may have ended before they were asked for.
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
		if got := <-signals; got != syscall.SIGCHLD {
			os.Exit(0)
		}
	}
}
