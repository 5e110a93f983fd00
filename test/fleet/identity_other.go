//go:build unix && !linux

package fleet

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

func startOf(pid int) (start string, zombie bool, err error) {
	out, err := ps(pid, "stat=,lstart=")
	if err != nil {
		return "", false, err
	}
	stat, start, _ := strings.Cut(out, " ")
	return strings.TrimSpace(start), strings.HasPrefix(stat, "Z"), nil
}

func usageOf(pid int) (Usage, error) {
	out, err := ps(pid, "rss=,time=")
	if err != nil {
		return Usage{}, err
	}
	rss, clock, _ := strings.Cut(out, " ")
	kib, err := strconv.ParseInt(rss, 10, 64)
	if err != nil {
		return Usage{}, fmt.Errorf("reading the memory of process %d: %w", pid, err)
	}
	var cpu float64 // seconds; ps prints [[hours:]minutes:]seconds
	for _, part := range strings.Split(strings.TrimSpace(clock), ":") {
		n, err := strconv.ParseFloat(part, 64)
		if err != nil {
			return Usage{}, fmt.Errorf("reading the processor time of process %d: %w", pid, err)
		}
		cpu = cpu*60 + n
	}
	return Usage{RSS: kib << 10, CPU: time.Duration(cpu * float64(time.Second))}, nil
}

func ps(pid int, columns string) (string, error) {
	out, err := exec.Command("ps", "-o", columns, "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return "", fmt.Errorf("process %d: %w", pid, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// withEnvironment finds nothing here: these systems do not show the
// environment of a process, so only the state file names what runs.
func withEnvironment(string) []identity { return nil }
