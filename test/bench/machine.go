package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// machine says what the figures were measured on.
func machine() string {
	model := "an unknown processor"
	if found := field("/proc/cpuinfo", "model name"); found != "" {
		model = found
	}
	memory := ""
	var kib int64
	if _, err := fmt.Sscanf(field("/proc/meminfo", "MemTotal"), "%d kB", &kib); err == nil {
		memory = fmt.Sprintf(", %d GiB of memory", kib>>20)
	}
	return fmt.Sprintf("%d cores (%s)%s, %s/%s, %s%s", runtime.NumCPU(), model, memory, runtime.GOOS, runtime.GOARCH, runtime.Version(), load())
}

// load says how busy the machine is with other things.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "" // not Linux
	}
	minute, _, _ := strings.Cut(string(text), " ")
	return "; load average before the first measurement: " + minute
}

// field is the first value of a key in a file of "key : value" lines.
func field(path, key string) string {
	file, err := os.Open(path)
	if err != nil {
		return "" // not Linux
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, found := strings.Cut(lines.Text(), ":"); found && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
