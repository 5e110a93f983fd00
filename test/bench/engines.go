package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
)

// engineBenchmarks compare our engine with kro's, as libraries in one process.
// They are a module of their own, which says what it measures in JSON lines.
func engineBenchmarks(ctx context.Context, o options) ([]Result, error) {
	o.say("running kro's engine beside ours, %d rounds", o.rounds)
	args := []string{"run", "-C", "test/compare", "./bench", "-rounds", strconv.Itoa(o.rounds)}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("comparing the engines: %w", err)
	}
	return parseEngineLines(out)
}

func parseEngineLines(text []byte) ([]Result, error) {
	var results []Result
	for lines := json.NewDecoder(bytes.NewReader(text)); ; {
		var line struct {
			Result
			Target      float64 `json:"target"`
			RatioTarget float64 `json:"ratioTarget"`
			What        string  `json:"what"`
			Run         string  `json:"run"`
		}
		err := lines.Decode(&line)
		if errors.Is(err, io.EOF) {
			return results, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading what the comparison of the engines says: %w", err)
		}
		r := line.Result
		r.Target, r.RatioTarget, r.What = line.Target, line.RatioTarget, line.What
		r.Command = fmt.Sprintf("go run -C test/compare ./bench -run '^%s$'", line.Run)
		results = append(results, r)
	}
}
