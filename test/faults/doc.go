// Package faults kills Kronvoy's processes in the middle of their work and
// checks that nothing shows afterwards. What happens is chosen by a seed, and
// how much by a budget, as package budget says.
package faults
