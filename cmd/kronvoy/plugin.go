package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// The names by which kubectl finds a plugin (KEP-2379 for the first) and what
// completes its command line.
const (
	pluginName   = "kubectl-kronvoy"
	completeName = "kubectl_complete-kronvoy"
)

// calledAs has the help show the name that the command was called by, and returns
// its arguments.
func calledAs(cmd *cobra.Command, args []string) []string {
	switch strings.TrimSuffix(filepath.Base(args[0]), ".exe") {
	case pluginName:
		cmd.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl kronvoy"}
		nameExamples(cmd)
	case completeName:
		return append([]string{cobra.ShellCompRequestCmd}, args[1:]...)
	}
	return args[1:]
}

// nameExamples writes the plugin's name into the examples.
func nameExamples(cmd *cobra.Command) {
	for _, before := range []string{"  ", "| ", "&& "} {
		cmd.Example = strings.ReplaceAll(cmd.Example, before+"kronvoy ", before+"kubectl kronvoy ")
	}
	for _, sub := range cmd.Commands() {
		nameExamples(sub)
	}
}
