package bundle

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Manifest says what is in a bundle, and what is not.
type Manifest struct {
	Created time.Time `json:"created"`
	// Command is the version of the program that made it.
	Command string    `json:"command"`
	Files   []File    `json:"files"`
	LeftOut []LeftOut `json:"leftOut,omitempty"`
	// Masked says what is hidden in all files.
	Masked []string `json:"masked"`
}

// File of a bundle.
type File struct {
	Name    string `json:"name"`
	Objects int    `json:"objects,omitempty"`
	Bytes   int64  `json:"bytes"`
	// Milliseconds that it took to read it.
	Milliseconds int64 `json:"milliseconds"`
}

// LeftOut is what was looked for and is not there, or not all of it.
type LeftOut struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// archive is a bundle in the making.
type archive struct {
	gzip *gzip.Writer
	tar  *tar.Writer
	Manifest
	left int64
	root string
}

func newArchive(w io.Writer, root string, now time.Time, command string, most int64) *archive {
	compressed := gzip.NewWriter(w)
	return &archive{gzip: compressed, tar: tar.NewWriter(compressed), root: root, left: most, Manifest: Manifest{Created: now, Command: command, Masked: []string{
		"Secrets are not read",
		"of instances, their revisions, overrides, works, reports and values that clusters report: all values, but not the names of fields",
		"everywhere: what is called, or looks like, a password, token, key or credential; annotations of others; kubectl's last-applied-configuration",
	}}}
}

// add puts a file into the bundle, as far as there is room.
func (a *archive) add(name string, content []byte, objects int, took time.Duration) error {
	if int64(len(content)) > a.left {
		a.leave(name, fmt.Sprintf("the bundle would have more than its limit of bytes: it has %d", len(content)))
		return nil
	}
	a.left -= int64(len(content))
	a.Files = append(a.Files, File{Name: name, Objects: objects, Bytes: int64(len(content)), Milliseconds: took.Milliseconds()})
	return a.write(name, content)
}

func (a *archive) write(name string, content []byte) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: a.root + "/" + name, Mode: 0o600, Size: int64(len(content)), ModTime: a.Created}
	if err := a.tar.WriteHeader(header); err != nil {
		return fmt.Errorf("writing the bundle: %w", err)
	}
	if _, err := a.tar.Write(content); err != nil {
		return fmt.Errorf("writing the bundle: %w", err)
	}
	return nil
}

func (a *archive) leave(what, why string) {
	a.LeftOut = append(a.LeftOut, LeftOut{What: what, Why: text(why)})
}

// close adds the manifest, and ends the archive.
func (a *archive) close() error {
	manifest, err := json.MarshalIndent(a.Manifest, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding what is in the bundle: %w", err)
	}
	if err := a.write("manifest.json", append(manifest, '\n')); err != nil {
		return err
	}
	if err := a.tar.Close(); err != nil {
		return fmt.Errorf("writing the bundle: %w", err)
	}
	if err := a.gzip.Close(); err != nil {
		return fmt.Errorf("writing the bundle: %w", err)
	}
	return nil
}
