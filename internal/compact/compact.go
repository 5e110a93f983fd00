// Package compact makes objects small that a cache keeps. An object that was
// decoded from JSON has every text for itself, and slices with room to grow; a
// hub has tens of thousands that say the same in most fields. What is the same
// is then there once: texts, labels, and whole manifests.
package compact

import (
	"reflect"

	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// Transform is for informers: it drops who wrote which field, and makes what is
// left small. The object is nobody else's yet; its value stays the same. Whoever
// reads it from the cache without a copy must not change it, as ever: now that
// would change other objects, too.
func Transform(object any) (any, error) {
	object, err := cache.TransformStripManagedFields()(object)
	if err != nil {
		return nil, err
	}
	compact(reflect.ValueOf(object))
	return object, nil
}

// compact leaves alone what cannot be set: fields of other packages' own, and
// the values of maps of any.
func compact(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			compact(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Field(i); field.CanSet() {
				compact(field)
			}
		}
	case reflect.String:
		if v.CanSet() {
			v.SetString(texts.same(v.String()))
		}
	case reflect.Slice:
		compactSlice(v)
	case reflect.Map:
		compactMap(v)
	}
}

func compactSlice(v reflect.Value) {
	if v.IsNil() || !v.CanSet() {
		return
	}
	if v.Type() == reflect.TypeFor[[]byte]() {
		v.SetBytes(raws.same(v.Bytes()))
		return
	}
	if v.Cap() > v.Len() {
		exact := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(exact, v)
		v.Set(exact)
	}
	for i := range v.Len() {
		compact(v.Index(i))
	}
}

// compactMap is for labels, annotations and the like.
func compactMap(v reflect.Value) {
	if own, is := v.Interface().(map[string]string); is && v.CanSet() {
		v.Set(reflect.ValueOf(labels.same(own)))
	}
}
