// Package config holds the manifests that Kronvoy is installed with, for programs
// that install it without this folder at hand.
package config

import (
	"bufio"
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// Files are the folders of this package.
//
//go:embed admission crd hub local ocm spoke
var Files embed.FS

// Objects reads the objects in files and folders of Files, in the order in which
// they can be applied: that of the arguments, of names, and of a file. What only
// kustomize reads is left out.
func Objects(paths ...string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, root := range paths {
		err := fs.WalkDir(Files, root, func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || path.Base(file) == "kustomization.yaml" {
				return err
			}
			text, err := Files.ReadFile(file)
			if err != nil {
				return err
			}
			read, err := parse(text)
			if err != nil {
				return fmt.Errorf("reading %s: %w", file, err)
			}
			objects = append(objects, read...)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading the manifests of %s: %w", root, err)
		}
	}
	return objects, nil
}

func parse(text []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(document, &object.Object); err != nil {
			return nil, err
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}
