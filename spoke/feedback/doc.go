// Package feedback reads live objects for the hub: the values that a work's
// feedback rules and observe list name, and the verdicts of its condition
// rules. Only the verdict of a rule travels, never what it looked at.
//
// Everything here is a function of the object and the rules.
package feedback
