package stack

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// tokenLife is how long a viewer's token lasts: as long as a session of the
// dashboard does.
const tokenLife = 8 * time.Hour

// Token makes a user of the hub who has some ClusterRoles on all of it, and
// returns a token of his: for the dashboard, or for kubectl.
func (s *Stack) Token(ctx context.Context, name string, clusterRoles ...string) (string, error) {
	hub, err := administrator(s.Fleet.Hub())
	if err != nil {
		return "", err
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceDefault, Name: name}}
	objects := []client.Object{account}
	for _, role := range clusterRoles {
		objects = append(objects, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name + "-" + role},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: account.Namespace, Name: name}},
		})
	}
	for _, object := range objects {
		if err := hub.Create(ctx, object); err != nil && !apierrors.IsAlreadyExists(err) {
			return "", fmt.Errorf("making user %s of the hub: %w", name, err)
		}
	}
	seconds := int64(tokenLife / time.Second)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	if err := hub.SubResource("token").Create(ctx, account, request); err != nil {
		return "", fmt.Errorf("making a token of user %s: %w", name, err)
	}
	return request.Status.Token, nil
}
