export {
  type HiddenConnection,
  type HiddenQuery,
  HiddenQueryError,
  type HiddenResult,
  type ResultColumn,
  together,
} from '../catalog/connection.ts';
