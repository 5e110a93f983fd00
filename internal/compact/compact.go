// Package compact makes objects small that a cache keeps. An object that was
// decoded from JSON has every text for itself, and slices with room to grow; a
// hub has tens of thousands that say the same in most fields.
package compact

import (
	"reflect"
	"unique"

	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// maxText is the longest text that is shared: longer ones are seldom the same.
const maxText = 512

// Transform is for informers: it drops who wrote which field, and makes what is
// left small. The object is nobody else's yet; its value stays the same.
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
			v.SetString(shared(v.String()))
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
	if v.Cap() > v.Len() {
		exact := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(exact, v)
		v.Set(exact)
	}
	if v.Type().Elem().Kind() == reflect.Uint8 {
		return
	}
	for i := range v.Len() {
		compact(v.Index(i))
	}
}

// compactMap shares the texts of a map that has nothing else.
func compactMap(v reflect.Value) {
	if v.IsNil() || !v.CanSet() || v.Type().Key().Kind() != reflect.String || v.Type().Elem().Kind() != reflect.String {
		return
	}
	exact := reflect.MakeMapWithSize(v.Type(), v.Len())
	for entries := v.MapRange(); entries.Next(); {
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		key.SetString(shared(entries.Key().String()))
		value.SetString(shared(entries.Value().String()))
		exact.SetMapIndex(key, value)
	}
	v.Set(exact)
}

// shared is the same text, of which there is one. It is forgotten with the last
// object that has it.
func shared(text string) string {
	if len(text) == 0 || len(text) > maxText {
		return text
	}
	return unique.Make(text).Value()
}
