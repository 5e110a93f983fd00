package feedback

import workv1 "open-cluster-management.io/api/work/v1"

// wellKnownPaths are the fields of OCM's WellKnownStatus rule.
var wellKnownPaths = map[string][]workv1.JsonPath{
	"apps/v1/Deployment": {
		{Name: "ReadyReplicas", Path: ".status.readyReplicas"},
		{Name: "Replicas", Path: ".status.replicas"},
		{Name: "AvailableReplicas", Path: ".status.availableReplicas"},
	},
	"apps/v1/DaemonSet": {
		{Name: "NumberReady", Path: ".status.numberReady"},
		{Name: "DesiredNumberScheduled", Path: ".status.desiredNumberScheduled"},
		{Name: "NumberAvailable", Path: ".status.numberAvailable"},
	},
	"batch/v1/Job": {
		{Name: "JobComplete", Path: `.status.conditions[?(@.type=="Complete")].status`},
		{Name: "JobSucceeded", Path: ".status.succeeded"},
	},
	"v1/Pod": {
		{Name: "PodReady", Path: `.status.conditions[?(@.type=="Ready")].status`},
		{Name: "PodPhase", Path: ".status.phase"},
	},
}

func wellKnown(object map[string]any) []workv1.JsonPath {
	apiVersion, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	return wellKnownPaths[apiVersion+"/"+kind]
}

// wellKnownConditions are the rules of OCM's WellKnownConditions type: when a
// kind that finishes has finished.
var wellKnownConditions = map[string]string{
	"batch/v1/Job": `hasConditions(object.status) && object.status.conditions.exists(c, (c.type == "Complete" || c.type == "Failed") && c.status == "True")`,
	"v1/Pod":       `has(object.status) && has(object.status.phase) && object.status.phase in ["Succeeded", "Failed"]`,
}
