export {
  type HiddenConnection,
  type HiddenQuery,
  HiddenQueryError,
  type HiddenResult,
  type ResultColumn,
} from '../catalog/connection.ts';
