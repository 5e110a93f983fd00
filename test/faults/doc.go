// Package faults kills Kronvoy's processes in the middle of their work, fails
// what they ask of API servers, and checks that nothing shows afterwards. What
// happens is chosen by a seed, and how much by a budget, as package budget says;
// one test goes through every kind of failed request.
package faults
