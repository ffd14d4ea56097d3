export {
  type HiddenConnection,
  type HiddenQuery,
  HiddenQueryError,
  type HiddenResult,
  type RowTaker,
  together,
} from '../catalog/connection.ts';
