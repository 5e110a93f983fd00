package placement

import (
	"fmt"
	"math"
)

// PrioritizerKind says what a prioritizer looks at.
type PrioritizerKind string

// Kinds of prioritizers (OCM: scoreCoordinate).
const (
	// Balance prefers clusters that few other placements have selected.
	Balance PrioritizerKind = "Balance"
	// Steady prefers clusters of the previous decision.
	Steady PrioritizerKind = "Steady"
	// Allocatable prefers clusters that have more of a resource to give.
	Allocatable PrioritizerKind = "Allocatable"
	// AddOn takes the score from an AddOnPlacementScore.
	AddOn PrioritizerKind = "AddOn"
)

// maxScore is the highest score of a prioritizer, and -maxScore the lowest (OCM).
const maxScore = 100

// Prioritizer gives each cluster a score from -100 to 100.
type Prioritizer struct {
	Kind PrioritizerKind
	// Resource of Allocatable, such as cpu; the name of AddOn's AddOnPlacementScore.
	Resource string
	// ScoreName of AddOn.
	ScoreName string
	// Weight the score is multiplied with, from -10 to 10; 0 turns it off.
	Weight int32
}

// Name of the prioritizer for people, as OCM writes it.
func (p Prioritizer) Name() string {
	switch p.Kind {
	case Allocatable:
		return fmt.Sprintf("ResourceAllocatable(%s)", p.Resource)
	case AddOn:
		return fmt.Sprintf("AddOn(%s/%s)", p.Resource, p.ScoreName)
	}
	return string(p.Kind)
}

// DefaultPrioritizers are in force where a policy names none (OCM: mode
// Additive).
func DefaultPrioritizers() []Prioritizer {
	return []Prioritizer{{Kind: Balance, Weight: 1}, {Kind: Steady, Weight: 1}}
}

// PrioritizerScore is what one prioritizer gave a cluster.
type PrioritizerScore struct {
	Name   string
	Weight int32
	Score  int64
}

// score fills in the scores of the candidates' reasons.
func score(prioritizers []Prioritizer, candidates []*candidate, recheck *earliest) {
	active := 0
	for _, p := range prioritizers {
		if p.Weight != 0 {
			active++
		}
	}
	// One allocation for all.
	scores := make([]PrioritizerScore, 0, active*len(candidates))
	for range candidates {
		for _, p := range prioritizers {
			if p.Weight != 0 {
				scores = append(scores, PrioritizerScore{Weight: p.Weight})
			}
		}
	}
	column := 0
	for _, p := range prioritizers {
		if p.Weight == 0 {
			continue
		}
		name, of := p.Name(), p.scorer(candidates, recheck)
		for i, c := range candidates {
			s := &scores[i*active+column]
			s.Name, s.Score = name, of(c)
			c.reason.Score += s.Score * int64(p.Weight)
		}
		column++
	}
	for i, c := range candidates {
		c.reason.Scores = scores[i*active : (i+1)*active : (i+1)*active]
	}
}

// scorer is the prioritizer for these candidates, which it compares.
func (p Prioritizer) scorer(candidates []*candidate, recheck *earliest) func(*candidate) int64 {
	switch p.Kind {
	case Balance:
		return balance(candidates)
	case Steady:
		return func(c *candidate) int64 {
			if c.before {
				return maxScore
			}
			return 0
		}
	case Allocatable:
		return allocatable(candidates, p.Resource)
	case AddOn:
		return func(c *candidate) int64 {
			scores := c.Scores[p.Resource]
			recheck.note(scores.ValidUntil)
			if !scores.Valid(recheck.now) {
				return 0
			}
			return min(max(scores.Values[p.ScoreName], -maxScore), maxScore)
		}
	}
	return func(*candidate) int64 { return 0 }
}

// balance goes from 100 for clusters that no other placement has selected down
// to -100 for the one that most have.
func balance(candidates []*candidate) func(*candidate) int64 {
	most := 0
	for _, c := range candidates {
		most = max(most, c.Placed)
	}
	return func(c *candidate) int64 {
		if c.Placed == 0 {
			return maxScore
		}
		return 2 * int64(maxScore*(0.5-float64(c.Placed)/float64(most)))
	}
}

// allocatable goes linearly from -100 for the least to 100 for the most. Clusters
// that do not say what they have get 0.
func allocatable(candidates []*candidate, resource string) func(*candidate) int64 {
	least, most := math.Inf(1), math.Inf(-1)
	for _, c := range candidates {
		if amount, known := c.Allocatable[resource]; known {
			least, most = min(least, amount), max(most, amount)
		}
	}
	return func(c *candidate) int64 {
		amount, known := c.Allocatable[resource]
		switch {
		case !known:
			return 0
		case most == least:
			return maxScore
		}
		return int64(((amount-least)/(most-least) - 0.5) * 2 * maxScore)
	}
}
