package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Two thirds of an idle agent's resident memory are pages of its own executable
// that only the start needed: the initialisation of libraries, and neighbours
// that the kernel mapped along. They are unmapped once the start is over, and
// now and then after that; what is needed again comes back from the page cache,
// 64 KiB at a time, without a read.
var trimAfter = []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute}

// trimFootprint runs until the context ends; the last interval repeats.
func trimFootprint(ctx context.Context) {
	for n := 0; ; n++ {
		timer := time.NewTimer(trimAfter[min(n, len(trimAfter)-1)])
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
			unmapExecutable()
		}
	}
}

// unmapExecutable gives back the mappings of the executable that nobody can
// have written to. Whatever cannot be found out is left alone.
func unmapExecutable() {
	executable, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer func() { _ = maps.Close() }()
	var start, end uintptr
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) == 6 && fields[5] == executable && (fields[1] == "r-xp" || fields[1] == "r--p"):
			if _, err := fmt.Sscanf(fields[0], "%x-%x", &start, &end); err != nil {
				start, end = 0, 0
			}
		case len(fields) > 4:
			start, end = 0, 0 // the head of a mapping that is none of ours
		case len(fields) == 3 && fields[0] == "Anonymous:" && end > start:
			// Pages that were written to are anonymous: to drop them would undo that.
			if fields[1] == "0" {
				_, _, _ = unix.Syscall(unix.SYS_MADVISE, start, end-start, unix.MADV_DONTNEED)
			}
			start, end = 0, 0
		}
	}
}
