package apply

import (
	"context"
	"maps"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kronvoy/kronvoy/spoke/live"
)

// Teardown deletes everything a work applied, the highest wave first, then its
// inventory. It says whether all is gone.
func (a *Applier) Teardown(ctx context.Context, w *Work) (*ChangeSet, bool, error) {
	st := a.state(w.Name)
	client, err := a.as(w.Executor)
	if err != nil {
		return nil, false, err
	}
	r := &run{a: a, client: client, w: w, st: st, now: a.clock.Now(), log: a.log.WithValues("work", w.Name)}
	if st.inventory == nil {
		if st.inventory, err = a.inventoryOf(ctx, w.Name); err != nil {
			return nil, false, err
		}
	}
	if st.inventory == nil {
		a.forget(w.Name)
		return nil, true, nil
	}
	r.owner = ownerReference(st.inventory.name, st.inventory.uid)
	r.watch(nil, nil)
	changes := &ChangeSet{Work: w, Shrunk: true}
	if !a.scan(st.inventory, r.now) {
		for key := range st.inventory.objects {
			r.stay(key, a.unseen(st.inventory))
		}
		r.listDeleting(changes)
		changes.RetryAfter = scanRetry
		return changes, false, nil
	}
	turn := map[live.Key]bool{}
	for _, wave := range r.waves() {
		for _, key := range wave {
			r.leave(ctx, key, changes)
			turn[key] = true
		}
		if anyIn(st.inventory.objects, wave) {
			break
		}
	}
	// What was listed while nothing could go, and whose turn has not come.
	maps.DeleteFunc(st.leaving, func(key live.Key, state leaving) bool { return !state.asked && !turn[key] })
	r.listDeleting(changes)
	if len(st.inventory.objects) > 0 {
		return changes, false, nil
	}
	if err := a.deleteInventory(ctx, st.inventory); err != nil {
		return changes, false, err
	}
	a.forget(w.Name)
	return changes, true, nil
}

// waves groups the inventory by what must be gone first: the hub's waves from
// the highest down, and within equal waves the reverse of the order of apply.
func (r *run) waves() [][]live.Key {
	type place struct{ wave, rank int }
	places := map[live.Key]place{}
	highest := place{}
	for _, item := range r.w.Items {
		at := place{item.Policy.Wave, rankOf(item.GVK)}
		places[versionless(item.Key)] = at
		highest.wave = max(highest.wave, at.wave)
	}
	var waves [][]live.Key
	for wave := highest.wave; wave >= 0; wave-- {
		for rank := lastRank; rank >= 0; rank-- {
			var keys []live.Key
			for _, key := range sortedKeys(r.st.inventory.objects) {
				at, known := places[versionless(key)]
				if !known { // it left the work before: first of all
					at = place{highest.wave, rankOfResource(key.Resource)}
				}
				if at == (place{wave, rank}) {
					keys = append(keys, key)
				}
			}
			if len(keys) > 0 {
				waves = append(waves, keys)
			}
		}
	}
	return waves
}

func rankOfResource(resource schema.GroupVersionResource) int {
	switch resource.GroupResource().String() {
	case "namespaces":
		return 0
	case "customresourcedefinitions.apiextensions.k8s.io":
		return 1
	}
	return lastRank
}

func anyIn(objects map[live.Key]types.UID, keys []live.Key) bool {
	for _, key := range keys {
		if _, ok := objects[key]; ok {
			return true
		}
	}
	return false
}
