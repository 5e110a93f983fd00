// Package config holds what is installed on a hub and on its clusters, as
// kustomizations: kubectl reads the files, and the command line carries them.
package config

import (
	"embed"
	"fmt"
	"io/fs"
	"path"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// Kustomizations, each a folder of this package.
const (
	// HubAPIs are OCM's CustomResourceDefinitions, which Hub stands on.
	HubAPIs = "ocm/hub"
	// Hub is the hub.
	Hub = "hub"
	// Local is a hub that is its own spoke.
	Local = "local"
	// Spoke is the agent.
	Spoke = "spoke"
)

//go:embed admission crd hub local ocm policies spoke
var files embed.FS

// Build returns the objects of a kustomization in an order in which an API
// server can take them: namespaces and CustomResourceDefinitions first. Every
// Deployment runs the image; empty leaves the one that the kustomization names.
func Build(kustomization, image string) ([]*unstructured.Unstructured, error) {
	disk, err := inMemory()
	if err != nil {
		return nil, err
	}
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy
	built, err := krusty.MakeKustomizer(options).Run(disk, kustomization)
	if err != nil {
		return nil, fmt.Errorf("building config/%s: %w", kustomization, err)
	}
	objects := make([]*unstructured.Unstructured, 0, built.Size())
	for _, resource := range built.Resources() {
		// Its own map has Go's int, which is none of the API machinery's types.
		object := &unstructured.Unstructured{}
		text, err := resource.MarshalJSON()
		if err == nil {
			err = object.UnmarshalJSON(text)
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s of config/%s: %w", resource.CurId(), kustomization, err)
		}
		if image != "" && object.GetKind() == "Deployment" {
			if err := setImage(object, image); err != nil {
				return nil, fmt.Errorf("setting the image of %s: %w", object.GetName(), err)
			}
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// setImage is for Deployments whose containers all run the same image.
func setImage(deployment *unstructured.Unstructured, image string) error {
	fields := []string{"spec", "template", "spec", "containers"}
	containers, _, err := unstructured.NestedSlice(deployment.Object, fields...)
	if err != nil {
		return err
	}
	for _, container := range containers {
		container.(map[string]any)["image"] = image
	}
	return unstructured.SetNestedSlice(deployment.Object, containers, fields...)
}

// inMemory is where kustomize finds the files: it takes no fs.FS.
func inMemory() (filesys.FileSystem, error) {
	disk := filesys.MakeFsInMemory()
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		return disk.WriteFile(path.Join("/", name), text)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the manifests that are built in: %w", err)
	}
	return disk, nil
}
