// Command generate writes the tables of docs/metrics.md, between their marks.
package main

import (
	"bytes"
	"fmt"
	"os"

	hub "github.com/kronvoy/kronvoy/hub/metrics"
	"github.com/kronvoy/kronvoy/internal/meter"
	agent "github.com/kronvoy/kronvoy/spoke/metrics"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func run(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for mark, definitions := range map[string][]meter.Definition{"hub": hub.Definitions(), "agent": agent.Definitions()} {
		var table bytes.Buffer
		if err := meter.Document(&table, definitions); err != nil {
			return err
		}
		begin, end := []byte("<!-- metrics of the "+mark+": begin -->\n"), []byte("<!-- metrics of the "+mark+": end -->")
		before, rest, found := bytes.Cut(text, begin)
		_, after, ended := bytes.Cut(rest, end)
		if !found || !ended {
			return fmt.Errorf("%s has no marks for the metrics of the %s", path, mark)
		}
		text = bytes.Join([][]byte{before, begin, table.Bytes(), end, after}, nil)
	}
	return os.WriteFile(path, text, 0o644) //nolint:gosec // a document
}
