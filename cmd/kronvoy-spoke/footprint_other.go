//go:build !linux

package main

// unmapExecutable does nothing where it is not known how.
func unmapExecutable() {}
