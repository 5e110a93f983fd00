//go:build integration

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kronvoy/kronvoy/test/probe"
	"github.com/kronvoy/kronvoy/test/proxy"
)

// What xterm understands as another screen without a cursor, and as the end of that;
// and as the begin of a frame.
const (
	otherScreen = "\x1b[?1049h\x1b[?25l"
	ownScreen   = "\x1b[?25h\x1b[?1049l"
	frameBegins = "\x1b[H"
)

// terminal is a pseudo-terminal in which a command runs.
type terminal struct {
	*testing.T
	file *os.File
	mu   sync.Mutex
	text bytes.Buffer
	// read ends when nothing more comes.
	read chan struct{}
}

// openTerminal runs a command in a terminal, in which Ctrl-C is what it is to a person.
func openTerminal(t *testing.T, cmd *exec.Cmd, columns, lines uint16) *terminal {
	t.Helper()
	file, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: columns, Rows: lines})
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{T: t, file: file, read: make(chan struct{})}
	go func() {
		defer close(term.read)
		piece := make([]byte, 4096)
		for {
			n, err := file.Read(piece)
			term.mu.Lock()
			term.text.Write(piece[:n])
			term.mu.Unlock()
			if err != nil {
				return // EIO: the command has ended
			}
		}
	}()
	t.Cleanup(func() {
		_ = file.Close() // it has ended, or is not to go on
		<-term.read
	})
	return term
}

func (term *terminal) all() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.text.String()
}

// frame is what the terminal shows: the last frame that has come.
func (term *terminal) frame() string {
	frames := strings.Split(term.all(), frameBegins)
	return frames[len(frames)-1]
}

// shows waits for a frame that is as it should be.
func (term *terminal) shows(what string, is func(frame string) bool) {
	term.Helper()
	probe.Eventually(term.T, "the terminal to show "+what, func() error {
		if frame := term.frame(); !is(frame) {
			return fmt.Errorf("it shows %q", frame)
		}
		return nil
	})
}

func has(words ...string) func(string) bool {
	return func(frame string) bool {
		for _, word := range words {
			if no, is := strings.CutPrefix(word, "!"); is == strings.Contains(frame, no) {
				return false
			}
		}
		return true
	}
}

// onATerminal leaves a live view open while the hub is lost and regained, the
// terminal is made smaller, and until Ctrl-C.
func (w *joinWorld) onATerminal(t *testing.T) {
	instance := func(name string) {
		t.Helper()
		w.create(t, fmt.Sprintf(`{apiVersion: kro.run/v1alpha1, kind: Seen, metadata: {name: %s, namespace: default}, spec: {text: a}}`, name))
	}
	binary, err := w.stack.CLI(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The command's way to the hub is its own: nobody else loses it.
	kubeconfig := filepath.Join(t.TempDir(), "terminal.kubeconfig")
	text, err := os.ReadFile(w.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(kubeconfig, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.proxy.Reroute(kubeconfig); err != nil {
		t.Fatal(err)
	}
	instance("early")
	cmd := exec.CommandContext(t.Context(), binary, "status", "-A", "--watch", "--kubeconfig", kubeconfig)
	cmd.Env = append(os.Environ(), "TERM=xterm-256color", "NO_COLOR=")
	term := openTerminal(t, cmd, 120, 40)
	before, err := unix.IoctlGetTermios(int(term.file.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	term.shows("what there is", has("seen/early", "Ctrl-C ends it", "\x1b[1mINSTANCE\x1b[0m"))
	if !strings.HasPrefix(term.all(), otherScreen) {
		t.Errorf("it does not take a screen of its own: %q", term.all())
	}
	instance("new")
	term.shows("what is new", has("seen/new"))

	lost := time.Now()
	w.lose(t, kubeconfig)
	term.shows("that the hub is lost", has("THE HUB DOES NOT ANSWER since ", "seen/new"))
	_, since, _ := strings.Cut(term.frame(), "since ")
	told, err := time.ParseInLocation(time.DateOnly+" "+time.TimeOnly, lost.Format(time.DateOnly)+" "+since[:len(time.TimeOnly)], time.Local)
	if early := lost.Sub(told); err != nil || early < 0 || early > 10*time.Second {
		t.Errorf("it was lost at %v, and it says at %v: %v", lost, told, err)
	}
	instance("meanwhile")
	if frame := term.frame(); !has("THE HUB DOES NOT ANSWER", "!seen/meanwhile")(frame) {
		t.Errorf("it knows what it cannot know: %q", frame)
	}
	w.proxy.Heal()
	term.shows("how things are", has("!THE HUB DOES NOT ANSWER", "Ctrl-C ends it", "seen/meanwhile"))
	instance("after")
	term.shows("what is new after that", has("seen/after"))

	const small = 9
	if err := pty.Setsize(term.file, &pty.Winsize{Cols: 60, Rows: small}); err != nil {
		t.Fatal(err)
	}
	term.shows("less", func(frame string) bool {
		return strings.Count(frame, "\n") < small && has("Ctrl-C ends it", " more")(frame)
	})

	if _, err := term.file.WriteString("\x03"); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ends with %v", err)
	}
	<-term.read
	after, err := unix.IoctlGetTermios(int(term.file.Fd()), unix.TCGETS)
	if err != nil || *before != *after {
		t.Errorf("the terminal was %+v, and is %+v: %v", before, after, err)
	}
	_, left, back := strings.Cut(term.all(), ownScreen)
	if !back || !strings.Contains(left, "INSTANCE") || strings.Contains(left, "\x1b[?") || strings.Contains(left, frameBegins) {
		t.Errorf("it does not give the terminal back with its last words: %q", left)
	}
}

// lose breaks all connections that are made with a kubeconfig, and lets none through.
func (w *joinWorld) lose(t *testing.T, kubeconfig string) {
	t.Helper()
	link := strings.TrimSuffix(filepath.Base(kubeconfig), filepath.Ext(kubeconfig))
	w.proxy.Run(proxy.Plan{{Request: proxy.Request{Link: link, Verb: "get", Resource: "configmaps"}, Nth: 1, Kind: proxy.Outage, For: time.Hour}})
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(config, client.Options{Scheme: w.scheme})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := c.Get(ctx, client.ObjectKey{Namespace: "default", Name: "outage"}, &corev1.ConfigMap{}); err == nil || w.proxy.Struck().IsZero() {
		t.Fatalf("the hub is there: %v", err)
	}
}
