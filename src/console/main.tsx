import { render } from 'preact';
import { followGateway } from './api/live.ts';
import { App } from './app.tsx';
import { followAddress } from './state/route.ts';
import './style/base.css';
import './style/parts.css';
import './style/views.css';

followAddress();
followGateway();
render(<App />, document.getElementById('console')!);
