package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/duration"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/hub/registration/csr"
	"github.com/kronvoy/kronvoy/internal/plain"
)

type acceptOptions struct {
	connect.Hub
	output          string
	labels, request string
	dryRun          bool
}

// acceptance is what the command reports.
type acceptance struct {
	Cluster string `json:"cluster"`
	// RequestedLabels are what the cluster asks for, as it says so itself.
	RequestedLabels map[string]string `json:"requestedLabels,omitempty"`
	// Labels are those that the cluster has.
	Labels   map[string]string `json:"labels,omitempty"`
	Accepted bool              `json:"accepted"`
	Requests []requestRow      `json:"requests"`
}

// requestRow is a CertificateSigningRequest that nobody had decided about.
type requestRow struct {
	Name      string `json:"name"`
	Requester string `json:"requester"`
	// For is the user name that the certificate is for.
	For string `json:"for,omitempty"`
	// ExpirationSeconds is how long it is to last; absent for as long as the signer likes.
	ExpirationSeconds *int32 `json:"expirationSeconds,omitempty"`
	Age               string `json:"age"`
	// Decision is Approved, Pending or Unfit.
	Decision string `json:"decision"`
	// Message says what is wrong with an unfit request.
	Message string `json:"message,omitempty"`
}

// Decisions about a request.
const (
	requestApproved = "Approved"
	requestPending  = "Pending"
	requestUnfit    = "Unfit"
)

func acceptCommand() *cobra.Command {
	var opts acceptOptions
	cmd := &cobra.Command{
		Use:   "accept CLUSTER",
		Short: "Accept a cluster that asks to join",
		Long: `Accept a cluster that asks to join: the hub gives it a namespace and rights in it,
and its agent a certificate.

Shows who asks, and which labels the cluster asks for. Those are its own words:
it only gets what --labels says. Where several requests wait, name the right one
with --request; each of them would become an agent of the cluster.

Needs the rights to patch managedclusters, to approve for the signer
kubernetes.io/kube-apiserver-client and to update certificatesigningrequests/approval.`,
		Example: `  kronvoy accept eu-west --dry-run
  kronvoy accept eu-west --labels region=eu,size=large`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.run(cmd.Context(), cmd.OutOrStdout(), args[0])
		},
	}
	flags := cmd.Flags()
	opts.Bind(flags)
	flags.StringVar(&opts.labels, "labels", "", "labels to set on the cluster, as key=value,…")
	flags.StringVar(&opts.request, "request", "", "name of the CertificateSigningRequest to approve, where several wait")
	flags.BoolVar(&opts.dryRun, "dry-run", false, "only show what the cluster asks for")
	output.BindFormat(cmd, &opts.output, "table", "json", "yaml")
	completeFirst(cmd, managedClusterNames)
	return cmd
}

func (o *acceptOptions) run(ctx context.Context, out io.Writer, name string) error {
	labels, err := parseLabels(o.labels)
	if err != nil {
		return err
	}
	c, _, err := o.Client()
	if err != nil {
		return err
	}
	cluster := &clusterv1.ManagedCluster{}
	err = c.Get(ctx, client.ObjectKey{Name: name}, cluster)
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("no cluster %s has asked to join: kubectl get managedclusters lists those that have", name)
	case err != nil:
		return fmt.Errorf("reading cluster %s: %w", name, err)
	case cluster.DeletionTimestamp != nil:
		return fmt.Errorf("cluster %s is being deleted: wait until it is gone, and let it join again", name)
	}
	pending, err := pendingRequests(ctx, c, name)
	if err != nil {
		return err
	}
	result := acceptance{Cluster: name, RequestedLabels: requestedLabels(cluster), Requests: []requestRow{}}
	chosen := -1
	for i := range pending {
		row := rowOf(&pending[i], time.Now())
		result.Requests = append(result.Requests, row)
		if row.Decision == requestPending && (o.request == "" || o.request == row.Name) {
			if chosen >= 0 {
				chosen = len(pending)
				continue
			}
			chosen = i
		}
	}
	finish := func() error {
		result.Accepted, result.Labels = cluster.Spec.HubAcceptsClient, cluster.Labels
		return o.write(out, result)
	}
	switch {
	case o.dryRun:
		return finish()
	case o.request != "" && chosen < 0:
		return errors.Join(finish(), fmt.Errorf("request %s is none that waits for cluster %s", o.request, name))
	case chosen == len(pending) && chosen > 0:
		return errors.Join(finish(), errors.New("several requests wait: approve the right one with --request, and refuse the others with \"kubectl certificate deny\""))
	}
	if err := acceptCluster(ctx, c, cluster, labels); err != nil {
		return err
	}
	if chosen >= 0 {
		if err := approveRequest(ctx, c, &pending[chosen]); err != nil {
			return err
		}
		result.Requests[chosen].Decision = requestApproved
	}
	return finish()
}

// pendingRequests are those of a cluster's agents, oldest first.
func pendingRequests(ctx context.Context, c client.Client, cluster string) ([]certificatesv1.CertificateSigningRequest, error) {
	var list certificatesv1.CertificateSigningRequestList
	if err := c.List(ctx, &list, client.MatchingLabels{clusterv1.ClusterNameLabelKey: cluster}); err != nil {
		return nil, fmt.Errorf("listing the requests of cluster %s: %w", cluster, err)
	}
	pending := slices.DeleteFunc(list.Items, func(r certificatesv1.CertificateSigningRequest) bool {
		return csr.Cluster(&r) != cluster || !csr.Pending(&r)
	})
	slices.SortFunc(pending, func(a, b certificatesv1.CertificateSigningRequest) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return pending, nil
}

// rowOf judges as the hub does, but for how long the certificate lasts: that is
// the person's to decide.
func rowOf(request *certificatesv1.CertificateSigningRequest, now time.Time) requestRow {
	row := requestRow{
		Name: request.Name, Requester: request.Spec.Username, ExpirationSeconds: request.Spec.ExpirationSeconds,
		Age: duration.HumanDuration(now.Sub(request.CreationTimestamp.Time)), Decision: requestPending,
	}
	if subject, err := csr.Parse(request); err == nil {
		row.For = subject.CommonName
	}
	if err := csr.Check(request, 0); err != nil {
		row.Decision, row.Message = requestUnfit, err.Error()
	}
	return row
}

// requestedLabels are the cluster's own words: what cannot be read is nothing.
func requestedLabels(c *clusterv1.ManagedCluster) map[string]string {
	var labels map[string]string
	if err := json.Unmarshal([]byte(c.Annotations[kronvoyv1alpha1.AnnotationRequestedLabels]), &labels); err != nil {
		return nil
	}
	return labels
}

func acceptCluster(ctx context.Context, c client.Client, cluster *clusterv1.ManagedCluster, labels map[string]string) error {
	before := cluster.DeepCopy()
	cluster.Spec.HubAcceptsClient = true
	delete(cluster.Annotations, kronvoyv1alpha1.AnnotationDetached)
	delete(cluster.Annotations, kronvoyv1alpha1.AnnotationDetachedBy)
	if cluster.Labels == nil {
		cluster.Labels = map[string]string{}
	}
	maps.Copy(cluster.Labels, labels)
	if err := c.Patch(ctx, cluster, client.MergeFrom(before), client.FieldOwner("kronvoy")); err != nil {
		return fmt.Errorf("accepting cluster %s: %w", cluster.Name, err)
	}
	return nil
}

func approveRequest(ctx context.Context, c client.Client, request *certificatesv1.CertificateSigningRequest) error {
	who, err := whoAmI(ctx, c)
	if err != nil {
		return err
	}
	request.Status.Conditions = append(request.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue,
		Reason: "KronvoyAccept", Message: "approved by " + who + " with \"kronvoy accept\"",
	})
	if err := c.SubResource("approval").Update(ctx, request); err != nil {
		return fmt.Errorf("approving request %s: %w", request.Name, err)
	}
	return nil
}

func (o *acceptOptions) write(out io.Writer, a acceptance) error {
	if o.output != "table" {
		return output.Encode(out, o.output, a)
	}
	word := "accepted"
	if !a.Accepted {
		word = "not accepted"
	}
	fmt.Fprintf(out, "%s %s\n", a.Cluster, word)
	fmt.Fprintf(out, "  asks for labels: %s\n", plain.Line(labelText(a.RequestedLabels)))
	fmt.Fprintf(out, "  has labels:      %s\n", labelText(a.Labels))
	if len(a.Requests) == 0 {
		fmt.Fprintln(out, "  no request for a certificate waits")
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "REQUEST\tDECISION\tAGE\tFOR\tREQUESTED BY")
	for _, r := range a.Requests {
		decision := r.Decision
		if r.Message != "" {
			decision += ": " + r.Message
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%q\t%q\n", r.Name, decision, r.Age, r.For, r.Requester)
	}
	return w.Flush()
}

// labelText is safe to print, whatever a cluster put into its labels.
func labelText(labels map[string]string) string {
	if len(labels) == 0 {
		return "none"
	}
	parts := make([]string, 0, len(labels))
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		text := key + "=" + labels[key]
		if quoted := fmt.Sprintf("%q", text); quoted != `"`+text+`"` {
			text = quoted
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}
