package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// apart are two changes that are told of each by itself: what goes on changing is
// looked at by the agent, and told of by the hub, once a second.
const apart = 2 * time.Second

// screen measures the fleet's page in a real browser: the first visits, and how
// long a change on the real cluster takes to its tile.
func (f *synthetic) screen(ctx context.Context) (_ []Result, err error) {
	token, err := f.Token(ctx, "bench-viewer", "kronvoy-viewer")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := f.driver.Measure(ctx, "URL="+f.DashboardURL, "TOKEN="+token, "TILE=c-"+realCluster, fmt.Sprint("ROUNDS=", f.options.rounds))
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the browser: %w", err)
	}
	defer func() {
		// It ends with its input.
		if err = errors.Join(err, in.Close(), cmd.Wait()); err != nil {
			err = fmt.Errorf("measuring in the browser: %w\n%s", err, stderr.Bytes())
		}
	}()
	b := &screen{lines: bufio.NewScanner(out)}
	if err := b.first(); err != nil {
		return nil, err
	}
	updates, err := f.updates(ctx, b)
	if err != nil {
		return nil, err
	}
	f.options.say("first paints %v ms, updates %v", b.paints, updates)
	return []Result{
		{Name: "ui-first-paint-ms-2000-clusters", Value: median(b.paints), Unit: "ms", Target: 1000,
			What: fmt.Sprintf("from the click to the first contentful paint of the fleet's page with %d clusters and %d Targets, in a headless Chromium with an empty cache; median of %d",
				manyClusters, manyClusters*manyInstances, len(b.paints))},
		{Name: "ui-update-ms", Value: milli(median(updates)), Unit: "ms", Target: 1000,
			What: fmt.Sprintf("an object is changed on the real cluster, which nobody did for %s, until the browser shows its tile in another state; median of %d", apart, len(updates))},
		{Name: "ui-page-kib", Value: median(b.bytes) / kibi, Unit: "KiB", Target: 150,
			What: "what such a first visit transfers, compressed: the page, style, script and icon, with headers"},
	}, nil
}

// screen is what the browser tells.
type screen struct {
	lines         *bufio.Scanner
	paints, bytes []float64
}

// next is the next line that begins with one of these words.
func (s *screen) next(words ...string) (word, rest string, err error) {
	for s.lines.Scan() {
		word, rest, _ = strings.Cut(s.lines.Text(), " ")
		for _, w := range words {
			if word == w {
				return word, rest, nil
			}
		}
	}
	return "", "", fmt.Errorf("the browser ended without saying %q: %w", words, s.lines.Err())
}

func (s *screen) first() error {
	for {
		word, rest, err := s.next("paint", "bytes", "tiles", "watching")
		if err != nil {
			return err
		}
		if word == "watching" {
			return nil
		}
		var value float64
		if _, err := fmt.Sscan(rest, &value); err != nil {
			return fmt.Errorf("reading %q from the browser: %w", s.lines.Text(), err)
		}
		switch word {
		case "paint":
			s.paints = append(s.paints, value)
		case "bytes":
			s.bytes = append(s.bytes, value)
		case "tiles":
			if value != manyClusters {
				return fmt.Errorf("the page shows %g clusters of %d", value, manyClusters)
			}
		}
	}
}

// updates changes an object on the real cluster, and puts it right again.
func (f *synthetic) updates(ctx context.Context, s *screen) ([]time.Duration, error) {
	config, err := f.Fleet.Cluster(realCluster).RESTConfig()
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of the cluster: %w", err)
	}
	maps := client.Resource(mapsResource).Namespace(benchNamespace)
	var out []time.Duration
	for range f.options.rounds {
		for _, change := range []struct{ size, state string }{{"huge", "drifted"}, {"large", "ready"}} {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(apart):
			}
			begin := time.Now()
			patch := fmt.Appendf(nil, `{"data":{"size":%q}}`, change.size)
			if _, err := maps.Patch(ctx, siteName(0)+"-settings", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
				return nil, fmt.Errorf("changing an object: %w", err)
			}
			shown, err := s.tile(change.state)
			if err != nil {
				return nil, err
			}
			out = append(out, shown.Sub(begin))
		}
	}
	return out, nil
}

// tile is when the tile has come to a state.
func (s *screen) tile(state string) (time.Time, error) {
	for {
		_, rest, err := s.next("tile")
		if err != nil {
			return time.Time{}, fmt.Errorf("waiting for the tile to be %s: %w", state, err)
		}
		var at int64
		var class string
		if _, err := fmt.Sscanf(rest, "%d tile %s", &at, &class); err == nil && class == state {
			return time.UnixMilli(at), nil
		}
	}
}
