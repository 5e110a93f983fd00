package work

import (
	"cmp"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// OCM's own agent gives one sign that objects are gone: their work is. It deletes
// what leaves a work as well, but does not say when that is done. So objects
// leave a cluster with their work only, and a work belongs to one party: the
// objects of one wave that stay, or those of one wave that leave.
//
// An object that changes its party moves. It is in both works until the agent has
// applied the new one, and so has made that an owner of it; what then leaves the
// old work is let go of, and not deleted:
//
//	stays ──moves──► leaves ──(the gate opens)──► its work is emptied ──► its work is deleted ──► gone
//
// No work is deleted with objects in it. The agent handles a work's deletion apart
// from its manifests, so that a pass which had begun before would apply them once
// more: an object that was deleted would come back, and one that has moved get an
// owner that is gone, which keeps the agent from deleting it with its new work. So
// a work is emptied first, down to the carrier, and deleted when the agent has
// answered that: no later pass knows the objects. What is still being deleted then
// is in the work's inventory, whose end the work waits for.
//
// An object that the agent applies in neither of two works never moves: somebody
// else's, for one. A teardown does not wait for it.
//
// In the same way an object moves whose wave changes, and a cluster is divided
// whose agent was Kronvoy's and that has all waves in one work. That agent puts no
// finalizer on a work's inventory, so that OCM's lets go of such a work before its
// objects are gone. So only the first wave keeps one, as nothing waits for its end.

// party is who shares a work.
type party struct {
	leaves bool
	wave   int
}

// division is who is in which work, by the works' numbers.
type division struct {
	works map[int][]manifest
	// moving are the parties of objects that are in another work, too.
	moving map[party]bool
	// refused are, by the work, the manifests that would move out of it and that
	// the agent applies neither there nor in the new one.
	refused map[int][]manifest
	stock
}

// divide distributes manifests over works of one party each. A manifest stays in
// a work of its party; else it goes into the first one that has room.
func divide(in Input, wanted, leaving []manifest) (division, error) {
	before, err := takeStock(in)
	if err != nil {
		return division{}, err
	}
	parties := make(map[workv1.ResourceIdentifier]party, len(wanted)+len(leaving))
	for _, m := range wanted {
		parties[m.key()] = party{wave: m.policy.Wave}
	}
	for _, m := range leaving {
		parties[m.key()] = party{leaves: true, wave: m.policy.Wave}
	}
	all := slices.Concat(wanted, leaving)
	sortManifests(all)
	homes := before.settle(all, parties)

	d := division{works: map[int][]manifest{}, moving: map[party]bool{}, refused: map[int][]manifest{}, stock: before}
	for _, m := range all {
		home := homes[m.key()]
		d.works[home] = append(d.works[home], m)
		for _, old := range before.homes[m.key()] {
			if old == home {
				continue
			}
			if in.Graph == nil && before.refuses[home][m.key()] && before.refuses[old][m.key()] {
				// It would never move: a teardown goes on without.
				d.refused[old] = append(d.refused[old], m)
				continue
			}
			d.moving[parties[m.key()]] = true
			// The agent must have listed it as the old work's, too: it lets go of
			// nothing else.
			if !before.applied[home][m.key()] || !before.applied[old][m.key()] {
				d.works[old] = append(d.works[old], m)
			}
		}
	}
	for number := range d.works {
		sortManifests(d.works[number])
	}
	return d, nil
}

// remove takes the objects of one wave out that leave, which empties their works.
// It does nothing and returns false while that would not be the end of them, or
// of more than them: one that is in another work, too, would stay, and be deleted
// when nobody looks; an orphan would go if its work did not say yet that it is one.
func (d division) remove(wave int) bool {
	leaving := party{leaves: true, wave: wave}
	if d.moving[leaving] {
		return false
	}
	var numbers []int
	for number, manifests := range d.works {
		theirs := func(m manifest) bool { return m.leaves && m.policy.Wave == wave }
		switch {
		case !slices.ContainsFunc(manifests, theirs):
		case slices.ContainsFunc(manifests, func(m manifest) bool { return !theirs(m) }):
			return false
		case !equality.Semantic.DeepEqual(d.deletion[number], orphaned(d.withRefused(number))):
			return false
		default:
			numbers = append(numbers, number)
		}
	}
	for _, number := range numbers {
		delete(d.works, number)
	}
	return true
}

// withRefused are the manifests of a work with those that cannot move out of it.
func (d division) withRefused(number int) []manifest {
	all := slices.Concat(d.works[number], d.refused[number])
	sortManifests(all)
	return all
}

// keepRefused leaves what cannot move where it is until its wave leaves, for it
// may have been applied before: then its old work deletes it in its turn, though
// nobody hears of its end. Works that are emptied let go of all.
func (d division) keepRefused(leaves bool, wave int) {
	for number, manifests := range d.refused {
		for _, m := range manifests {
			if len(d.works[number]) > 0 && (!leaves || m.policy.Wave != wave) {
				d.works[number] = append(d.works[number], m)
			}
		}
		sortManifests(d.works[number])
	}
}

// empty leaves the carrier in works that nothing else is left in, until the agent
// has let go of what was in them; then they may go.
func (d division) empty(in Input) error {
	carrier, err := newCarrier(in)
	if err != nil {
		return err
	}
	for number, released := range d.released {
		if len(d.works[number]) == 0 && !released {
			d.works[number] = []manifest{carrier}
		}
	}
	return nil
}

// chunks are the works as pack returns them.
func (d division) chunks() [][]manifest {
	var chunks [][]manifest
	for _, number := range slices.Sorted(maps.Keys(d.works)) {
		for len(chunks) <= number {
			chunks = append(chunks, nil)
		}
		chunks[number] = d.works[number]
	}
	return chunks
}

// stock is what the works hold that are there.
type stock struct {
	// homes are the numbers of the works that a manifest is in, from the lowest.
	homes map[workv1.ResourceIdentifier][]int
	// applied are the manifests that the agent has applied of a work as it stands.
	applied map[int]map[workv1.ResourceIdentifier]bool
	// refuses are those that it could not apply of a work as it stands.
	refuses map[int]map[workv1.ResourceIdentifier]bool
	// taken numbers are not free, also those of works that are being deleted.
	taken map[int]bool
	// foreign works were made for an agent that answers in reports.
	foreign map[int]bool
	// deletion are the delete options.
	deletion map[int]*workv1.DeleteOption
	// released says of each work that is not being deleted whether the agent has
	// let go of all that was in it.
	released map[int]bool
}

func takeStock(in Input) (stock, error) {
	s := stock{
		homes: map[workv1.ResourceIdentifier][]int{}, applied: map[int]map[workv1.ResourceIdentifier]bool{},
		refuses: map[int]map[workv1.ResourceIdentifier]bool{},
		taken:   map[int]bool{}, foreign: map[int]bool{}, deletion: map[int]*workv1.DeleteOption{}, released: map[int]bool{},
	}
	for _, w := range in.Previous {
		number := chunkOf(w.Name)
		if number < 0 {
			// The hub has not made it, and deletes it.
			continue
		}
		s.taken[number], s.foreign[number] = true, in.Reports[w.Name] != nil
		if w.DeletionTimestamp != nil {
			continue
		}
		manifests, _, err := in.contents(w)
		if err != nil {
			return stock{}, err
		}
		s.deletion[number] = w.Spec.DeleteOption
		s.released[number] = in.going(w) && answered(w)
		s.applied[number], s.refuses[number] = map[workv1.ResourceIdentifier]bool{}, map[workv1.ResourceIdentifier]bool{}
		for _, m := range manifests {
			s.homes[m.key()] = append(s.homes[m.key()], number)
			if status := statusOf(w, m.id); status != nil {
				c := findCondition(status.Conditions, workv1.ManifestApplied)
				judged := c != nil && c.ObservedGeneration == w.Generation
				s.applied[number][m.key()] = judged && c.Status == metav1.ConditionTrue
				s.refuses[number][m.key()] = judged && c.Status == metav1.ConditionFalse
			}
		}
	}
	for key := range s.homes {
		slices.Sort(s.homes[key])
	}
	return s, nil
}

// contents takes a work apart, without a carrier that has nothing to carry: OCM's
// agent makes no selections.
func (in Input) contents(w *workv1.ManifestWork) ([]manifest, []kronvoyv1alpha1.Selection, error) {
	manifests, selections, err := takeApart(w)
	if !in.Capabilities.Reports {
		manifests = slices.DeleteFunc(manifests, manifest.carries)
	}
	return manifests, selections, err
}

// going is true of a work that is being deleted, or is emptied for that; not of
// one that holds what its annotations do not tell of.
func (in Input) going(w *workv1.ManifestWork) bool {
	if w.DeletionTimestamp != nil {
		return true
	}
	if in.Capabilities.Reports {
		return false
	}
	manifests, _, err := takeApart(w)
	return err == nil && len(manifests) == len(w.Spec.Workload.Manifests) &&
		!slices.ContainsFunc(manifests, func(m manifest) bool { return !m.carries() })
}

// owners says which party a work belongs to: that of most of its objects, and
// rather one that stays, so that names are stable.
func (s stock) owners(parties map[workv1.ResourceIdentifier]party) map[int]party {
	first := 0
	for i, p := range slices.Collect(maps.Values(parties)) {
		if i == 0 || p.wave < first {
			first = p.wave
		}
	}
	counts := map[int]map[party]int{}
	for key, p := range parties {
		for _, number := range s.homes[key] {
			if s.foreign[number] && p.wave > first {
				continue
			}
			if counts[number] == nil {
				counts[number] = map[party]int{}
			}
			counts[number][p]++
		}
	}
	owners := make(map[int]party, len(counts))
	for number, count := range counts {
		owners[number] = slices.MinFunc(slices.Collect(maps.Keys(count)), func(a, b party) int {
			if a.leaves != b.leaves {
				if a.leaves {
					return 1
				}
				return -1
			}
			return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a.wave, b.wave))
		})
	}
	return owners
}

// settle gives every manifest the number of its work.
func (s stock) settle(all []manifest, parties map[workv1.ResourceIdentifier]party) map[workv1.ResourceIdentifier]int {
	owners := s.owners(parties)
	rooms := map[int]*chunk{}
	enter := func(number int, m manifest) bool {
		if rooms[number] == nil {
			rooms[number] = &chunk{}
		}
		return rooms[number].add(m)
	}
	settled := make(map[workv1.ResourceIdentifier]int, len(all))
	var homeless []manifest
	for _, m := range all {
		at := slices.IndexFunc(s.homes[m.key()], func(number int) bool {
			owner, owned := owners[number]
			return owned && owner == parties[m.key()] && enter(number, m)
		})
		if at < 0 {
			homeless = append(homeless, m)
			continue
		}
		settled[m.key()] = s.homes[m.key()][at]
	}
	for _, m := range homeless {
		for number := 0; ; number++ {
			owner, owned := owners[number]
			if !owned && s.taken[number] || owned && owner != parties[m.key()] {
				continue
			}
			if enter(number, m) {
				owners[number], settled[m.key()] = parties[m.key()], number
				break
			}
		}
	}
	return settled
}
