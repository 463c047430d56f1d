package main

// What makes the control plane ready for tests: our definitions are served, and the controllers are seen at work.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"
)

// createDefinitions creates what lies in a folder and waits until it is served. It happens before the controllers start:
// the garbage collector looks for new kinds every 30 seconds only, and so it knows ours from the beginning.
func createDefinitions(ctx context.Context, config *rest.Config, folder string) error {
	client, err := apiextensions.NewForConfig(config)
	if err != nil {
		return err
	}
	definitions := client.ApiextensionsV1().CustomResourceDefinitions()
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%s holds no definitions", folder)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var definition apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(content, &definition); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if _, err := definitions.Create(ctx, &definition, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict}); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		err = eventually(ctx, func(ctx context.Context) error {
			found, err := definitions.Get(ctx, definition.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			return established(found)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

func established(definition *apiextensionsv1.CustomResourceDefinition) error {
	for _, condition := range definition.Status.Conditions {
		if condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue {
			return nil
		}
	}
	return fmt.Errorf("not established: %v", definition.Status.Conditions)
}

// controllersWork waits until the controllers are seen at work. They have caches to fill, and none of them says when it
// is done; so each gets something to do that leaves nothing behind.
func controllersWork(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	const namespace, name = metav1.NamespaceDefault, "kakehi-cluster-probe"
	suspended := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: batchv1.JobSpec{
			Suspend: ptr.To(true),
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
				RestartPolicy: corev1.RestartPolicyNever,
				Containers:    []corev1.Container{{Name: "probe", Image: "probe"}},
			}},
		},
	}
	if _, err := client.BatchV1().Jobs(namespace).Create(ctx, suspended, metav1.CreateOptions{}); err != nil {
		return err
	}
	orphan := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Name:            name,
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "never-was", UID: "never-was"}},
	}}
	if _, err := client.CoreV1().ConfigMaps(namespace).Create(ctx, orphan, metav1.CreateOptions{}); err != nil {
		return err
	}
	for what, look := range map[string]func(context.Context) error{
		"the Job controller": func(ctx context.Context) error {
			job, err := client.BatchV1().Jobs(namespace).Get(ctx, name, metav1.GetOptions{})
			if err == nil && len(job.Status.Conditions) == 0 {
				return errors.New("a suspended Job is not said to be suspended")
			}
			return err
		},
		"the garbage collector": func(ctx context.Context) error {
			_, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
			switch {
			case apierrors.IsNotFound(err):
				return nil
			case err == nil:
				return errors.New("an orphan is still there")
			default:
				return err
			}
		},
		"the service account controller": func(ctx context.Context) error {
			_, err := client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
			return err
		},
		"the publisher of the root certificate": func(ctx context.Context) error {
			_, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
			return err
		},
		"the aggregation of ClusterRoles": func(ctx context.Context) error {
			role, err := client.RbacV1().ClusterRoles().Get(ctx, "view", metav1.GetOptions{})
			if err == nil && len(role.Rules) == 0 {
				return errors.New("the role view is empty")
			}
			return err
		},
	} {
		if err := eventually(ctx, look); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return client.BatchV1().Jobs(namespace).Delete(ctx, name, metav1.DeleteOptions{
		PropagationPolicy: ptr.To(metav1.DeletePropagationBackground),
	})
}

// eventually looks until nothing is wrong any more, and says what was wrong last.
func eventually(ctx context.Context, look func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, readyWithin, true, func(ctx context.Context) (bool, error) {
		last = look(ctx)
		return last == nil, nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}
