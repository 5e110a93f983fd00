package facts

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/kronvoy/kronvoy/internal/golden"
)

// TestScenarios reads cluster.yaml, with nodes as the API has them, and compares
// what is said of it with expected.yaml.
func TestScenarios(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join("testdata", "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			cluster := read(t, dir)
			got, err := yaml.Marshal(Of(cluster))
			if err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, filepath.Join(dir, "expected.yaml"), string(got))
			for i, node := range cluster.Nodes {
				cluster.Nodes[i] = Slim(node)
			}
			slices.Reverse(cluster.Nodes)
			slim, err := yaml.Marshal(Of(cluster))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(got), string(slim)); diff != "" {
				t.Errorf("of the same nodes, slim and in another order: -want +got:\n%s", diff)
			}
		})
	}
}

func read(t *testing.T, dir string) Cluster {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "cluster.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		ID      string         `json:"id"`
		Version string         `json:"version"`
		Nodes   []*corev1.Node `json:"nodes"`
	}
	if err := yaml.UnmarshalStrict(text, &file); err != nil {
		t.Fatal(err)
	}
	return Cluster{ID: file.ID, Version: file.Version, Nodes: file.Nodes}
}

// TestWhateverNodesSay fits into what OCM's API takes, is a claim of ours, and
// does not depend on the order of the nodes.
func TestWhateverNodesSay(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	letters := []rune("ab1,=\n\x00é\u200b ()./")
	word := func() string {
		runes := make([]rune, random.IntN(300))
		for i := range runes {
			runes[i] = letters[random.IntN(len(letters))]
		}
		return string(runes)
	}
	for range 50 {
		nodes := make([]*corev1.Node, random.IntN(200))
		for i := range nodes {
			image := word()
			if random.IntN(2) == 0 {
				image = fmt.Sprintf("Talos (v1.%d.%s)", random.IntN(20), word())
			}
			marks := map[string]string{corev1.LabelTopologyRegion: word(), corev1.LabelTopologyZone: word()}
			for range random.IntN(60) {
				marks[fmt.Sprintf("%s%d", ExtensionPrefix, random.IntN(60))] = word()
			}
			nodes[i] = &corev1.Node{
				ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(i), Labels: marks},
				Spec:       corev1.NodeSpec{ProviderID: word() + "://" + word()},
				Status:     corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{OSImage: image, KernelVersion: word()}},
			}
		}
		got := Of(Cluster{Version: word(), Nodes: nodes})
		if len(got.Claims) > len(Names())+maxExtensions {
			t.Fatalf("%d claims", len(got.Claims))
		}
		size := 0
		for name, value := range got.Claims {
			size += len(value)
			if !Own(name) || value == "" || len(value) > MaxValue || strings.ContainsAny(value, "\n\x00") {
				t.Errorf("%s is %q", name, value)
			}
		}
		if size > maxSize/2 {
			t.Errorf("the claims have %d bytes, which leaves too little for others", size)
		}
		random.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
		if diff := cmp.Diff(got, Of(Cluster{Version: got.Claims[ClaimKubeVersion], Nodes: nodes})); diff != "" {
			t.Errorf("in another order: %s", diff)
		}
	}
}

func TestALongListNamesTheMostFrequentAndCountsTheRest(t *testing.T) {
	counts := map[string]int{"rare": 1}
	for i := range 100 {
		counts[fmt.Sprintf("a-rather-long-word-%02d", i)] = 2
	}
	got := list(counts, strings.Compare)
	entries := strings.Split(got, ",")
	named := len(entries) - 1
	if want := fmt.Sprintf("others=%d", (100-named)*2+1); entries[named] != want || named < 30 || len(got) > MaxValue {
		t.Errorf("%d bytes that end with %q, want %q", len(got), entries[named], want)
	}
}

func TestEveryClaimIsDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "claims.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(Names(), ExtensionPrefix+"<name>") {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/claims.md does not say what %s is", name)
		}
	}
}

func TestEveryNameIsOursOnce(t *testing.T) {
	names := Names()
	slices.Sort(names)
	if len(slices.Compact(names)) != len(Names()) {
		t.Errorf("a name is there twice: %v", names)
	}
	for name, want := range map[string]bool{ClaimID: false, ClaimKubeVersion: false, ClaimPlatform: true, ExtensionPrefix + "x": true, "team.example.com": false} {
		if got := FromNodes(name); got != want {
			t.Errorf("FromNodes(%s) is %t", name, got)
		}
	}
}
