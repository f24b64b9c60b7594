package main

import (
	"os"
	"time"
)

// usage is what a measurement used: seconds, and MiB at its end.
type usage struct {
	wall, cpu, user, sys float64
	driver               float64 // CPU seconds of this process
	rss, peak            float64
}

// meter charges a process tree from its start on.
type meter struct {
	pid            int
	begin          time.Time
	cpu, user, sys float64
	driver         float64
}

func startMeter(pid int) meter {
	m := meter{pid: pid}
	m.cpu, m.user, m.sys = cpuSeconds(pid)
	m.driver, _, _ = cpuSeconds(os.Getpid())
	m.begin = time.Now()
	return m
}

func (m meter) stop() usage {
	u := usage{wall: time.Since(m.begin).Seconds()}
	cpu, user, sys := cpuSeconds(m.pid)
	driver, _, _ := cpuSeconds(os.Getpid())
	u.cpu, u.user, u.sys, u.driver = cpu-m.cpu, user-m.user, sys-m.sys, driver-m.driver
	u.rss, u.peak = rssMiB(m.pid)
	return u
}

// idleCores is the CPU rate of the process tree over some seconds without requests.
func idleCores(pid int, seconds float64) float64 {
	if pid == 0 || seconds <= 0 {
		return 0
	}
	time.Sleep(300 * time.Millisecond)
	m := startMeter(pid)
	time.Sleep(time.Duration(seconds * float64(time.Second)))
	u := m.stop()
	return u.cpu / u.wall
}
