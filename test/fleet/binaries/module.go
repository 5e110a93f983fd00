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

// module is the nested Go module that pins the control plane.
type module struct {
	dir     string
	key     string // of the cache directory: version, platform, hash of the pins
	version string // of Kubernetes
}

var kubernetesVersion = regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v\S+)`)

// findModule looks for test/controlplane in $KRONVOY_REPO, above the working
// directory, and above this source file.
func findModule() (module, error) {
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
			if nested := filepath.Join(dir, "test", "controlplane"); exists(filepath.Join(nested, "go.mod")) {
				return readModule(nested)
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return module{}, fmt.Errorf("no test/controlplane above %s, and it pins the control plane to build: "+
		"run inside a clone of Kronvoy, or set KRONVOY_REPO to one", strings.Join(starts, " or "))
}

func readModule(dir string) (module, error) {
	gomod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	gosum, err2 := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err := errors.Join(err, err2); err != nil {
		return module{}, fmt.Errorf("reading the control plane's pins: %w", err)
	}
	version := kubernetesVersion.FindSubmatch(gomod)
	if version == nil {
		return module{}, fmt.Errorf("%s does not require k8s.io/kubernetes", filepath.Join(dir, "go.mod"))
	}
	sum := sha256.New()
	for _, part := range [][]byte{gomod, gosum, []byte(strings.Join(kwokStages, "\n")), []byte(recipe)} {
		fmt.Fprintf(sum, "%d\n%s", len(part), part)
	}
	key := fmt.Sprintf("%s-%s-%s-%s", version[1], runtime.GOOS, runtime.GOARCH, hex.EncodeToString(sum.Sum(nil))[:12])
	return module{dir: dir, key: key, version: string(version[1])}, nil
}
