package binaries

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// recipe changes when the same pins must be built anew, as after a change of
// build flags; it is part of the cache key.
const recipe = "1"

// module is a nested Go module that pins programs.
type module struct {
	dir     string
	key     string // of the cache directory: version, platform, hash of the pins
	version string // of Kubernetes; empty where the programs are not its own
	what    string // is built, for people
	takes   string // about how long
}

var (
	kubernetesVersion = regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v\S+)`)
	ocmVersion        = regexp.MustCompile(`(?m)^\s*open-cluster-management\.io/ocm (v\S+)`)
)

// controlPlane finds test/controlplane, which pins Kubernetes.
func controlPlane() (module, error) {
	mod, err := findModule("test/controlplane", kubernetesVersion, kwokStages...)
	mod.version, _, _ = strings.Cut(mod.key, "-")
	mod.what, mod.takes = "Kubernetes "+mod.version, "8 minutes"
	return mod, err
}

// ocmAgent finds test/ocm/agent, which pins OCM's own agent.
func ocmAgent() (module, error) {
	mod, err := findModule("test/ocm/agent", ocmVersion)
	version, _, _ := strings.Cut(mod.key, "-")
	mod.what, mod.takes = "OCM's work agent "+version, "3 minutes"
	return mod, err
}

// findModule looks for a nested module in $KRONVOY_REPO, above the working
// directory, and above this source file. Its key changes with its pins, and with
// what else is named as part of the build.
func findModule(nested string, version *regexp.Regexp, parts ...string) (module, error) {
	var starts []string
	if repo := os.Getenv("KRONVOY_REPO"); repo != "" {
		starts = append(starts, repo)
	} else {
		if wd, err := os.Getwd(); err == nil {
			starts = append(starts, wd)
		}
		if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
			starts = append(starts, filepath.Dir(file))
		}
	}
	for _, start := range starts {
		for dir := start; ; dir = filepath.Dir(dir) {
			if found := filepath.Join(dir, filepath.FromSlash(nested)); exists(filepath.Join(found, "go.mod")) {
				return readModule(found, version, parts)
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return module{}, fmt.Errorf("no %s above %s, and it pins what is to be built: "+
		"run inside a clone of Kronvoy, or set KRONVOY_REPO to one", nested, strings.Join(starts, " or "))
}

func readModule(dir string, version *regexp.Regexp, parts []string) (module, error) {
	gomod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	gosum, err2 := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err := errors.Join(err, err2); err != nil {
		return module{}, fmt.Errorf("reading the pins in %s: %w", dir, err)
	}
	pinned := version.FindSubmatch(gomod)
	if pinned == nil {
		return module{}, fmt.Errorf("%s does not pin what it is for: nothing in it matches %s", filepath.Join(dir, "go.mod"), version)
	}
	sum := sha256.New()
	for _, part := range [][]byte{gomod, gosum, []byte(strings.Join(parts, "\n")), []byte(recipe)} {
		fmt.Fprintf(sum, "%d\n%s", len(part), part)
	}
	key := fmt.Sprintf("%s-%s-%s-%s", pinned[1], runtime.GOOS, runtime.GOARCH, hex.EncodeToString(sum.Sum(nil))[:12])
	return module{dir: dir, key: key}, nil
}
