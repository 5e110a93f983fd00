package v1alpha1

import (
	"slices"
	"strings"
	"testing"
)

func TestAnAgentsNameIsReadExactly(t *testing.T) {
	for _, name := range [][2]string{{"c1", "agent"}, {"a", "b"}, {"eu-west", "x7-2"}, {strings.Repeat("c", 63), strings.Repeat("a", 63)}} {
		cluster, agent, ok := ParseAgentUser(AgentUser(name[0], name[1]))
		if !ok || cluster != name[0] || agent != name[1] {
			t.Errorf("%q is read as %q, %q, %t", AgentUser(name[0], name[1]), cluster, agent, ok)
		}
	}
	for what, user := range map[string]string{
		"nothing":                   "",
		"no prefix":                 "c1:agent",
		"a longer prefix":           "xsystem:open-cluster-management:c1:agent",
		"no cluster":                "system:open-cluster-management::agent",
		"no agent":                  "system:open-cluster-management:c1:",
		"a cluster alone":           "system:open-cluster-management:c1",
		"one part too many":         "system:open-cluster-management:c1:x:agent",
		"upper case":                "system:open-cluster-management:C1:agent",
		"a prefix in upper case":    "System:open-cluster-management:c1:agent",
		"a space":                   "system:open-cluster-management:c1 :agent",
		"a new line":                "system:open-cluster-management:c1:agent\n",
		"a zero byte":               "system:open-cluster-management:c1\x00:agent",
		"a letter that looks alike": "system:open-cluster-management:с1:agent",
		"a wide colon":              "system:open-cluster-management:c1：agent",
		"a path":                    "system:open-cluster-management:../c1:agent",
		"a dot":                     "system:open-cluster-management:c1.x:agent",
		"a name too long":           "system:open-cluster-management:" + strings.Repeat("c", 64) + ":agent",
	} {
		t.Run(what, func(t *testing.T) {
			if cluster, agent, ok := ParseAgentUser(user); ok || cluster != "" || agent != "" {
				t.Errorf("%q is read as cluster %q, agent %q, %t", user, cluster, agent, ok)
			}
		})
	}
}

func FuzzParseAgentUser(f *testing.F) {
	f.Add("system:open-cluster-management:c1:agent")
	f.Add("system:open-cluster-management:c1:x:agent")
	f.Fuzz(func(t *testing.T, user string) {
		cluster, agent, ok := ParseAgentUser(user)
		if ok && AgentUser(cluster, agent) != user {
			t.Errorf("%q is read as %q and %q, which make %q", user, cluster, agent, AgentUser(cluster, agent))
		}
		if ok && strings.ContainsAny(cluster+agent, ":/. ") {
			t.Errorf("%q is read as %q and %q", user, cluster, agent)
		}
	})
}

func TestACertificatesOrganizationsAreSorted(t *testing.T) {
	for _, cluster := range []string{"a", "managed", "z"} {
		groups := AgentGroups(cluster)
		if !slices.IsSorted(groups) || !slices.Contains(groups, AgentGroup(cluster)) || !slices.Contains(groups, AgentsGroup) || len(groups) != 2 {
			t.Errorf("the groups of %s are %q", cluster, groups)
		}
	}
}

func TestNoClusterTakesANameThatIsTheHubs(t *testing.T) {
	for _, name := range []string{"c1", "eu-west", "kubernetes", "defaults", "local-cluster-2", strings.Repeat("c", 63)} {
		if err := ValidateJoinName(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{
		"", "C1", "c1.example", "c1:x", "../c1", "c1/x", "-c1", "c1-", "с1", strings.Repeat("c", 64),
		"kube-system", "kube-public", "kube-x", "default", "kronvoy-join", "kronvoy-system",
		"open-cluster-management", "open-cluster-management-hub", "local-cluster",
		// The group of its agents would be that of all agents.
		"managed-clusters",
	} {
		if err := ValidateJoinName(name); err == nil {
			t.Errorf("%q is taken", name)
		}
	}
}

func TestAJoiningIdentityIsOfItsOwnNamespace(t *testing.T) {
	if cluster, ok := ParseJoinUser(JoinUser("c1")); !ok || cluster != "c1" {
		t.Errorf("read %q, %t", cluster, ok)
	}
	for _, user := range []string{"", "c1", "system:serviceaccount:kronvoy-join", "system:serviceaccount:kronvoy-joins:c1", "system:serviceaccount:default:c1"} {
		if cluster, ok := ParseJoinUser(user); ok {
			t.Errorf("%q is read as %q", user, cluster)
		}
	}
}
