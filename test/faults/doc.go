// Package faults crashes Kronvoy's processes at each of their writes, fails what
// they ask of API servers, and checks that nothing shows afterwards: docs/faults.md
// says what is covered.
//
//	life_test.go        an instance's life, and what must hold in each phase
//	crash_test.go       one crash at a write, before and after it is done
//	rollout_test.go     the same at the writes by which the hub steers a rollout
//	answers_test.go     every kind of fault, and many at once, by a seed
//	operations_test.go  what API servers did, and what a fault explains of it
//
// How much is run is chosen by a budget, as package budget says.
package faults
