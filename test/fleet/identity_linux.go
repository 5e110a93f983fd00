package fleet

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// clockTick is the kernel's USER_HZ, fixed at 100 on all platforms that Go
// supports.
const clockTick = 10 * time.Millisecond

// Fields of /proc/<pid>/stat, counted from the state, which follows the name.
const (
	statState  = 0
	statUtime  = 11
	statStime  = 12
	statStart  = 19
	statRSS    = 21
	statFields = 22
)

// bootID tells apart processes that started equally long after two boots.
var bootID = sync.OnceValue(func() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
})

func startOf(pid int) (start string, zombie bool, err error) {
	stat, err := readStat(pid)
	if err != nil {
		return "", false, err
	}
	state := stat[statState]
	return bootID() + "/" + stat[statStart], state == "Z" || state == "X", nil
}

func usageOf(pid int) (Usage, error) {
	stat, err := readStat(pid)
	if err != nil {
		return Usage{}, err
	}
	number := func(field int) int64 {
		n, _ := strconv.ParseInt(stat[field], 10, 64)
		return n
	}
	return Usage{
		RSS: number(statRSS) * int64(os.Getpagesize()),
		CPU: time.Duration(number(statUtime)+number(statStime)) * clockTick,
	}, nil
}

func readStat(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	// The name is in parentheses and may hold anything.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < statFields {
		return nil, fmt.Errorf("reading /proc/%d/stat: %q is too short", pid, text)
	}
	return fields, nil
}

// withEnvironment finds the processes started with this entry in their
// environment, also those that the state file does not know because their
// parent was killed before it could write.
func withEnvironment(entry string) []identity {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []identity
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile("/proc/" + e.Name() + "/environ")
		if err != nil || !bytes.Contains(append([]byte{0}, env...), []byte("\x00"+entry+"\x00")) {
			continue
		}
		if id, err := identify(pid); err == nil && id.alive() {
			found = append(found, id)
		}
	}
	return found
}
