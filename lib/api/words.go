package api

import "reflect"

// jsonWord names what JSON a Go type is read from.
func jsonWord(t reflect.Type) string {
	switch t.Kind() { //nolint:exhaustive // the rest are the objects
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number of 0 or more"
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return "a text"
		}
		return "a list"
	default:
		return "an object"
	}
}
