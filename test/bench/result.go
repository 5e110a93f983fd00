package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Result is one measured figure.
type Result struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Peer is the same figure of the software it is compared with, measured in
	// the same run, and Ratio ours divided by it; nil without a peer.
	Peer  *float64 `json:"peer"`
	Ratio *float64 `json:"ratio"`

	// Target is the figure to stay under, or not to exceed where Reach is set;
	// there is none where both are zero.
	Target float64 `json:"-"`
	Reach  bool    `json:"-"`
	// RatioTarget is the most that Ratio may be, 0 without one.
	RatioTarget float64 `json:"-"`
	// What is measured, in a sentence.
	What string `json:"-"`
	// Command produces the figure alone.
	Command string `json:"-"`
}

func (r Result) met() bool {
	if r.RatioTarget > 0 && (r.Ratio == nil || *r.Ratio > r.RatioTarget) {
		return false
	}
	return r.Target == 0 && !r.Reach || r.Value < r.Target || r.Reach && r.Value == r.Target
}

func (r Result) target() string {
	var targets []string
	switch {
	case r.Reach:
		targets = append(targets, "≤ "+number(r.Target))
	case r.Target > 0:
		targets = append(targets, "< "+number(r.Target))
	}
	if r.RatioTarget > 0 {
		targets = append(targets, "ratio ≤ "+number(r.RatioTarget))
	}
	return cmp.Or(strings.Join(targets, ", "), none)
}

// none stands for a figure that there is not.
const none = "–"

// verdict says how the value stands to its target, empty without one.
func verdict(r Result) string {
	switch {
	case r.target() == none:
		return ""
	case r.met():
		return "(target " + r.target() + ")"
	default:
		return "MISSES its target " + r.target()
	}
}

func encodeList(results []Result) ([]byte, error) {
	text, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the results: %w", err)
	}
	return append(text, '\n'), nil
}

// document is docs/benchmarks.md.
func document(results []Result, machine string) []byte {
	var b bytes.Buffer
	b.WriteString("# Benchmarks\n\n" +
		"Written by `make bench`; do not edit. Peer is the same figure of the software Kronvoy is compared with, in the same run;\n" +
		"ratio is ours divided by the peer's.\n\n")
	fmt.Fprintf(&b, "Measured on %s.\n\n", machine)
	b.WriteString("| name | value | unit | target | peer | ratio | command |\n|---|---:|---|---:|---:|---:|---|\n")
	for _, r := range results {
		value := number(r.Value)
		if !r.met() {
			value = "**" + value + "** (missed)"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | `%s` |\n",
			r.Name, value, r.Unit, r.target(), optional(r.Peer), optional(r.Ratio), r.Command)
	}
	b.WriteString("\n## What each figure is\n\n")
	for _, r := range results {
		fmt.Fprintf(&b, "- `%s`: %s\n", r.Name, r.What)
	}
	return b.Bytes()
}

func optional(v *float64) string {
	if v == nil {
		return none
	}
	return number(*v)
}

// number writes three significant digits, and whole numbers as they are.
func number(v float64) string {
	if v == math.Trunc(v) || math.Abs(v) >= 100 {
		return strconv.FormatFloat(math.Round(v), 'f', -1, 64)
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}
