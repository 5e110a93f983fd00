#!/usr/bin/env bash
# Copies Open Cluster Management's CustomResourceDefinitions from the module
# that go.mod pins into config/ocm.
set -euo pipefail

module=open-cluster-management.io/api
go mod download "$module"
from=$(go list -m -f '{{.Dir}}' "$module")

copy() { # copy DIRECTORY FILE…
  local to=config/ocm/$1
  shift
  mkdir -p "$to"
  rm -f "$to"/*.crd.yaml
  for file in "$@"; do
    install -m 0644 "$from/$file" "$to/${file##*/}"
  done
}

copy hub \
  cluster/v1/0000_00_clusters.open-cluster-management.io_managedclusters.crd.yaml \
  cluster/v1beta2/0000_00_clusters.open-cluster-management.io_managedclustersets.crd.yaml \
  cluster/v1beta2/0000_01_clusters.open-cluster-management.io_managedclustersetbindings.crd.yaml \
  cluster/v1beta1/0000_02_clusters.open-cluster-management.io_placements.crd.yaml \
  cluster/v1beta1/0000_03_clusters.open-cluster-management.io_placementdecisions.crd.yaml \
  cluster/v1alpha1/0000_05_clusters.open-cluster-management.io_addonplacementscores.crd.yaml \
  work/v1/0000_00_work.open-cluster-management.io_manifestworks.crd.yaml
copy spoke \
  cluster/v1alpha1/0000_02_clusters.open-cluster-management.io_clusterclaims.crd.yaml \
  work/v1/0000_01_work.open-cluster-management.io_appliedmanifestworks.crd.yaml
