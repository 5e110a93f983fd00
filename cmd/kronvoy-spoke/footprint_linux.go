package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// unmapExecutable gives back the mappings of the executable that nobody can
// have written to. Two thirds of an idle agent's resident memory are pages that
// only its start, or a burst of work, needed: the initialisation of libraries,
// and neighbours that the kernel mapped along. What is needed again comes back
// from the page cache, 64 KiB at a time, without a read. Whatever cannot be
// found out is left alone.
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
